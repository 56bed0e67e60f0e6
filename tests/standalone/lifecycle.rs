//! Starting, failing parts and ending.

use std::fs;
use std::process::Command;

use super::rig::Rig;

/// Processes below `pid`, by name.
pub fn children(pid: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let after = stat.rsplit(')').next().unwrap_or_default();
        if after.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(pid) {
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            found.push((child, command));
            found.extend(children(child));
        }
    }
    found
}

/// By program and first argument: the edge's own command line names the sozu binary too.
pub fn begins(command: &str, part: &str) -> bool {
    let mut words = command.split(' ');
    let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    format!("{program} {}", words.next().unwrap_or_default()) == part
}

pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn every_part_comes_back_after_it_was_killed() {
    let rig = Rig::start(&[], |_, _| ());
    for part in ["kakehi filter", "sozu --config", "kakehi edge", "kakehi launch"] {
        let mut found = None;
        rig.eventually(part, || {
            found = children(rig.pid()).into_iter().find(|(_, command)| begins(command, part));
            found.is_some()
        });
        let (pid, command) = found.unwrap();
        kill(pid);
        rig.eventually(&format!("served again after {command} was killed"), || {
            let served = |target| super::client::get(rig.http(), "demo.localhost", target, &[]).is_ok_and(|answer| answer.status == 200);
            // Natively, and over the hop.
            !alive(pid) && served("/") && served("/split")
        });
    }
}

/// The launcher is away when the end is asked for, or has just been started again.
#[test]
fn sozus_whose_launcher_was_killed_are_left_behind_by_no_end() {
    for pause in [0, 60, 200] {
        let mut rig = Rig::start(&[], |_, _| ());
        let (mut before, mut launcher) = (Vec::new(), None);
        rig.eventually("a launcher is there", || {
            before = children(rig.pid());
            launcher = before.iter().find(|(_, command)| begins(command, "kakehi launch")).map(|(pid, _)| *pid);
            launcher.is_some()
        });
        kill(launcher.unwrap());
        std::thread::sleep(std::time::Duration::from_millis(pause));
        assert!(rig.terminate());
        rig.eventually("all processes ended", || before.iter().all(|(pid, _)| !alive(*pid)));
    }
}

/// What a killed process left in its directory is in nobody's way: not of one in the same directory, nor of one that gets its number.
#[test]
fn what_a_killed_process_left_is_in_no_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let arguments = ["--runtime-dir", path.to_str().unwrap()];
    let first = Rig::start(&arguments, |_, _| ());
    let before = children(first.pid());
    kill(first.pid());
    first.eventually("its processes ended", || before.iter().all(|(pid, _)| !alive(*pid)));
    assert!(path.join("edge-1/snapshot.sock").exists());
    let second = Rig::start(&arguments, |_, _| ());
    assert_eq!(second.get("/", &[]).backend(), "blue");
}

#[test]
fn nothing_is_left_behind() {
    let mut rig = Rig::start(&[], |_, _| ());
    let before = children(rig.pid());
    assert!(before.len() >= 7, "launcher, edge, filter and two processes of each Sōzu: {before:?}");
    assert!(rig.terminate());
    rig.eventually("all processes ended", || before.iter().all(|(pid, _)| !alive(*pid)));
}

#[test]
fn nothing_is_left_behind_when_it_is_killed() {
    let rig = Rig::start(&[], |_, _| ());
    let before = children(rig.pid());
    assert!(before.len() >= 7, "launcher, edge, filter and two processes of each Sōzu: {before:?}");
    kill(rig.pid());
    rig.eventually("all processes ended", || !alive(rig.pid()) && before.iter().all(|(pid, _)| !alive(*pid)));
}

#[test]
fn a_second_gateway_on_the_same_port_is_told_so() {
    let rig = Rig::start(&[], |config, ports| {
        let second = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: zweiter, namespace: demo}\nspec:\n  gatewayClassName: kakehi\n  listeners: [{name: http, port: 8080, protocol: HTTP}]\n";
        fs::write(config.join("zz-second.yaml"), super::rig::replace_ports(second, ports)).unwrap();
    });
    let second = rig.status("Gateway/demo/zweiter.yaml", |text| text.contains("AddressNotUsable"));
    assert!(!second.contains("ListenersNotValid"), "the manifest itself is right: {second}");
    assert_eq!(rig.get("/", &[]).backend(), "blue");
}

/// Sōzu's sockets share ports, so a second instance would get every other connection of the first.
#[test]
fn a_second_instance_on_the_same_ports_says_so_until_they_are_free() {
    let first = Rig::start(&[], |_, _| ());
    let (http, https) = (first.ports.http, first.ports.https);
    let second = Rig::begin(&[], |config, ports| {
        for entry in fs::read_dir(config).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace(&ports.http.to_string(), &http.to_string()).replace(&ports.https.to_string(), &https.to_string());
            fs::write(path, text).unwrap();
        }
    });
    let why = |port| format!("cannot bind 127.0.0.1:{port}: another process listens there; end it, or choose another port");
    let told = format!("not ready: edge demo/web listener http: {}\n", why(http));
    second.eventually("it is not ready, and says why", || second.admin("/readyz").body == told);
    let gateway = second.status("Gateway/demo/web.yaml", |text| text.contains(&why(https)));
    assert!(gateway.contains(&why(http)), "{gateway}");
    let route = second.status("HTTPRoute/demo/demo.yaml", |text| text.contains("the data plane refused it"));
    assert!(route.contains(&format!("listener http: {}", why(http))), "{route}");
    // It is tried again each second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let line = format!("listener http: {}", why(http));
    assert_eq!(
        second.log().matches(&format!("\"demo/web\" {line}")).count() + second.log().matches(&format!("{line} edge=")).count(),
        1,
        "{}",
        second.log()
    );
    drop(first);
    second.eventually("the ports are free", || second.admin("/readyz").status == 200);
    let served = || super::client::get(([127, 0, 0, 1], http).into(), "demo.localhost", "/", &[]).is_ok_and(|answer| answer.status == 200);
    second.eventually("it serves", served);
    second.status("HTTPRoute/demo/demo.yaml", |text| !text.contains("the data plane refused it"));
}
