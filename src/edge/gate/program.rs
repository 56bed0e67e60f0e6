//! Which of the sockets on a port gets a new connection: a program of classic BPF for the kernel (`SO_ATTACH_REUSEPORT_CBPF`).

use nix::libc::sock_filter;

use crate::model::ClientNetwork;

/// Networks that one program can tell apart: the kernel takes 4,096 instructions.
pub(super) const MOST: usize = 512;

/// Instructions (linux/bpf_common.h): load a word or a byte of the packet, the rest of a division, an intersection, jumps, results.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const MODULO: u16 = 0x94;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const RETURN_LOADED: u16 = 0x16;
/// Where the header of IP begins, and where the kernel's random number is (linux/filter.h).
const NETWORK_HEADER: u32 = 0xfff0_0000;
const RANDOM: u32 = 0xffff_f000 + 56;
/// Where the client's address is in that header.
const SOURCE_V4: u32 = NETWORK_HEADER + 12;
const SOURCE_V6: u32 = NETWORK_HEADER + 8;

/// Connections of these networks go to the socket that joined last; all others to one of the `others` that were there before.
pub(super) fn program(refused: &[ClientNetwork], others: u32) -> Vec<sock_filter> {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for network in refused.iter().take(MOST) {
        match network {
            ClientNetwork::V4(address) => four.extend([
                // Over the next one unless they are equal.
                instruction(JUMP_IF_EQUAL, (0, 1), *address),
                instruction(RETURN, (0, 0), others),
            ]),
            ClientNetwork::V6(prefix) => six.extend([
                instruction(LOAD_WORD, (0, 0), SOURCE_V6),
                instruction(JUMP_IF_EQUAL, (0, 3), (prefix >> 32) as u32),
                instruction(LOAD_WORD, (0, 0), SOURCE_V6 + 4),
                instruction(JUMP_IF_EQUAL, (0, 1), (prefix & 0xffff_ffff) as u32),
                instruction(RETURN, (0, 0), others),
            ]),
        }
    }
    let length = |part: &[sock_filter]| u32::try_from(part.len()).unwrap_or(u32::MAX);
    let beyond_six = instruction(JUMP, (0, 0), length(&six));
    let begin = [
        instruction(LOAD_BYTE, (0, 0), NETWORK_HEADER),
        instruction(AND, (0, 0), 0xf0),
        instruction(JUMP_IF_EQUAL, (1, 0), 0x40),
        // Over what is for IPv4: a load, the addresses, a jump.
        instruction(JUMP, (0, 0), length(&four) + 2),
        instruction(LOAD_WORD, (0, 0), SOURCE_V4),
    ];
    let end = [instruction(LOAD_WORD, (0, 0), RANDOM), instruction(MODULO, (0, 0), others.max(1)), instruction(RETURN_LOADED, (0, 0), 0)];
    begin.into_iter().chain(four).chain([beyond_six]).chain(six).chain(end).collect()
}

fn instruction(code: u16, (jt, jf): (u8, u8), k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
