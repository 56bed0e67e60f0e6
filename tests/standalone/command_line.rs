//! What people get wrong on the command line and in the environment: each mistake ends the program with a message that names the flag,
//! the file or the address, and with a status that is not 0.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RIGHT: &str = include_str!("mistakes/right.yaml");

/// A command line with variables, how it exits and the last line that it prints, or the first one where the usage follows; `DIR` is a
/// directory of its own.
struct Case {
    variables: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    code: i32,
    told: &'static str,
}

const fn case(arguments: &'static [&'static str], code: i32, told: &'static str) -> Case {
    Case { variables: &[], arguments, code, told }
}

/// Who may read and bind everything has these rights taken away: files and ports are then as they are for anybody else.
const AS_ANYBODY: &[&str] = &["setpriv", "--bounding-set=-dac_override,-dac_read_search,-net_bind_service", "--inh-caps=-all"];

const SERVE: &str = "standalone";
const FROM: &str = "--config-dir=DIR/right";
const ADMIN: &str = "--admin=127.0.0.1:0";
const HELP: &str = "install Sōzu, or name its binary by --sozu or KAKEHI_SOZU";

const CASES: &[Case] = &[
    case(&[SERVE, FROM, ADMIN, "--sozu=DIR/none"], 1, "kakehi: --sozu DIR/none: this file does not exist; HELP"),
    case(&[SERVE, FROM, ADMIN, "--sozu=no-such-sozu"], 1, "kakehi: --sozu no-such-sozu: no directory of PATH has this program; HELP"),
    case(&[SERVE, FROM, ADMIN, "--sozu=DIR/plain"], 1, "kakehi: --sozu DIR/plain: this file is not executable; HELP"),
    case(&[SERVE, FROM, ADMIN, "--sozu=false"], 1, "kakehi: --sozu false: with --version it ended with exit status: 1; HELP"),
    Case {
        variables: &[("KAKEHI_SOZU", "DIR/none")],
        arguments: &[SERVE, FROM, ADMIN],
        code: 1,
        told: "kakehi: --sozu DIR/none: this file does not exist; HELP",
    },
    case(&["launch", "--dir=DIR/launched", "--sozu=DIR/none"], 1, "kakehi: --sozu DIR/none: this file does not exist; HELP"),
    case(
        &[SERVE, FROM, "--sozu=SOZU", "--admin=127.0.0.1:TAKEN"],
        1,
        "kakehi: admin port 127.0.0.1:TAKEN: Address already in use (os error 98)",
    ),
    case(
        &[SERVE, FROM, ADMIN, "--sozu=SOZU", "--status-dir=DIR/right/status"],
        1,
        "kakehi: DIR/right/status lies inside the directory of manifests",
    ),
    case(
        &[SERVE, FROM, ADMIN, "--sozu=SOZU", "--runtime-dir=DIR/open"],
        1,
        "kakehi: DIR/open: the runtime directory can be entered by others: its mode must be 0700",
    ),
    case(
        &[SERVE, FROM, ADMIN, "--sozu=SOZU", "--ingress-http-port=8080", "--ingress-https-port=8080"],
        1,
        "kakehi: --ingress-http-port and --ingress-https-port are both 8080",
    ),
    case(&[SERVE, "--config-dir=DIR/broken", ADMIN, "--strict"], 1, "  broken.yaml:2: error parsing YAML: unclosed bracket '['"),
    case(&["check", "DIR/none"], 1, "kakehi: DIR/none: No such file or directory (os error 2)"),
    case(&["check", "DIR/right", "--crds=DIR/none"], 1, "kakehi: DIR/none: No such file or directory (os error 2)"),
    case(
        &["trace", "--admin=127.0.0.1:1", "http://demo.localhost:8080/"],
        1,
        "kakehi: cannot ask the instance at 127.0.0.1:1: Connection refused (os error 111)",
    ),
    case(
        &["trace", "--directory=DIR/right", "http://demo.localhost:8088/"],
        1,
        "kakehi: no edge listens for GET / for host \"demo.localhost\" on http port 8088; edges: IngressClass/kakehi (http 80, https 443), demo/web (http 8080)",
    ),
];

/// What the environment lacks or forbids.
const ENVIRONMENT: &[Case] = &[
    case(&[SERVE, "--config-dir=DIR/none", ADMIN, "--strict"], 1, "kakehi: DIR/none: No such file or directory (os error 2)"),
    case(&[SERVE, "--config-dir=DIR/plain", ADMIN, "--strict"], 1, "kakehi: DIR/plain: Not a directory (os error 20)"),
    case(&[SERVE, "--config-dir=DIR/locked", ADMIN, "--strict"], 1, "kakehi: DIR/locked: Permission denied (os error 13)"),
    case(&["check", "DIR/locked"], 1, "kakehi: DIR/locked: Permission denied (os error 13)"),
    case(
        &[SERVE, FROM, ADMIN, "--sozu=SOZU", "--status-dir=DIR/written/status"],
        1,
        "kakehi: status directory DIR/written/status: Permission denied (os error 13)",
    ),
    case(
        &[SERVE, FROM, ADMIN, "--sozu=SOZU", "--runtime-dir=DIR/written/run"],
        1,
        "kakehi: DIR/written/run: Permission denied (os error 13)",
    ),
    case(&["launch", "--dir=DIR/written/run", "--sozu=SOZU"], 1, "kakehi: DIR/written/run: Permission denied (os error 13)"),
    case(&[SERVE, FROM, "--sozu=SOZU", "--admin=127.0.0.1:81"], 1, "kakehi: admin port 127.0.0.1:81: Permission denied (os error 13)"),
    case(
        &[SERVE, FROM, "--sozu=SOZU", "--admin=192.0.2.1:9901"],
        1,
        "kakehi: admin port 192.0.2.1:9901: Cannot assign requested address (os error 99)",
    ),
    case(
        &[SERVE, FROM, ADMIN, "--memory=1000000"],
        2,
        "error: invalid value '1000000' for '--memory <BYTES>': an edge needs 134217728 bytes (128 MiB) at least",
    ),
    Case {
        variables: &[("KAKEHI_MEMORY", "64Mi")],
        arguments: &[SERVE, FROM, ADMIN],
        code: 2,
        told: "error: invalid value '64Mi' for '--memory <BYTES>': no number of bytes: invalid digit found in string",
    },
    Case {
        variables: &[("KAKEHI_ADMIN", "9901")],
        arguments: &[SERVE, FROM],
        code: 2,
        told: "error: invalid value '9901' for '--admin <IP:PORT>': invalid socket address syntax",
    },
];

fn serving(command: &mut Command) -> &mut Command {
    command.env_remove("KAKEHI_SOZU").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

#[test]
fn each_mistake_ends_the_program_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["right", "broken", "open", "locked", "written"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::set_permissions(at("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(at("written"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(at("open"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(at("right/right.yaml"), RIGHT).unwrap();
    fs::write(at("broken/broken.yaml"), "a: 1\nb: [\n").unwrap();
    fs::write(at("plain"), "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = [
        ("SOZU", super::rig::sozu().display().to_string()),
        ("DIR", directory.path().display().to_string()),
        ("TAKEN", taken.local_addr().unwrap().port().to_string()),
        ("HELP", HELP.to_owned()),
    ];
    let given = |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    let mut wrong = Vec::new();
    let prefix = if rustix::process::geteuid().is_root() { AS_ANYBODY } else { &[] };
    for Case { variables, arguments, code, told } in CASES.iter().chain(ENVIRONMENT) {
        let words: Vec<_> = prefix.iter().copied().chain([env!("CARGO_BIN_EXE_kakehi")]).collect();
        let mut command = Command::new(words[0]);
        serving(&mut command).args(&words[1..]).args(arguments.iter().map(|argument| given(argument)));
        command.envs(variables.iter().map(|(name, value)| (name, given(value))));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let line = if *code == 2 { said.lines().next() } else { said.lines().last() };
        if output.status.code() != Some(*code) || line != Some(given(told).as_str()) {
            wrong.push(format!("{arguments:?}: {:?}: {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A start with a manifest that is refused serves the rest, is not ready, and does not end as if all had been well.
#[test]
fn a_start_with_a_refused_manifest_is_not_ready_until_it_is_mended() {
    let mut rig = super::rig::Rig::begin(&[], |config, _| {
        fs::write(config.join("zz-broken.yaml"), "a: 1\nb: [\n").unwrap();
    });
    let reason = "not ready: since the start, manifests are refused in zz-broken.yaml\n";
    rig.eventually("it says why it is not ready", || rig.admin("/readyz").body == reason);
    rig.eventually("the rest is served", || {
        super::client::get(rig.http(), "demo.localhost", "/", &[]).is_ok_and(|answer| answer.status == 200)
    });
    let told = rig.log();
    assert!(told.contains("zz-broken.yaml:2: error parsing YAML: unclosed bracket '['\n"), "as what it is: {told}");
    rig.write("zz-broken.yaml", "# mended\n");
    rig.eventually("ready", || rig.admin("/readyz").status == 200);
    rig.write("zz-broken.yaml", "a: 1\nb: [\n");
    rig.eventually("it is told", || rig.admin("/debug/report").body.contains("zz-broken.yaml"));
    assert_eq!(rig.admin("/readyz").status, 200, "a later mistake leaves in force what was good");
    assert!(rig.terminate());
    assert_eq!(rig.exit(), Some(0));
}

#[test]
fn the_end_of_a_start_that_was_never_ready_is_no_success() {
    let mut rig = super::rig::Rig::begin(&[], |config, _| {
        fs::write(config.join("zz-broken.yaml"), "a: 1\nb: [\n").unwrap();
    });
    rig.eventually("it is up", || rig.admin("/readyz").body.contains("zz-broken.yaml"));
    assert!(rig.terminate());
    assert_eq!(rig.exit(), Some(1));
    rig.eventually("it says why", || {
        rig.log().contains("kakehi: it was never ready: since the start, manifests are refused in zz-broken.yaml")
    });
}

/// A reader that has seen enough is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/standalone");
    let mut child = serving(&mut Command::new(env!("CARGO_BIN_EXE_kakehi"))).arg("translate").arg(config).spawn().unwrap();
    drop(child.stdout.take());
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(!said.contains("kakehi: "), "{said}");
}
