//! Replicas as processes: one leads, and another takes over whatever becomes of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::rig::{api, apply, basics, condition, delete, eventually, finalizers, once, route};
use crate::server::{discard, namespace, shared, shared_kubeconfig};

/// A replica. It goes with this value.
pub struct Replica(Child);

impl Replica {
    pub fn start(name: &'static str, kubeconfig: &Path, space: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
        command.args(["controller", "--admin", "127.0.0.1:0", "--replica", name, "--namespace", space, "--hold-routes", "--log", "warn"]);
        for flag in ["--controller-name", "--ingress-controller-name"] {
            command.args([flag, &format!("test.kakehi.dev/{space}")]);
        }
        let child = command.env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code, once it has ended.
    async fn ended(&mut self) -> Option<i32> {
        eventually("it ends", async || self.0.try_wait().unwrap()).await.code()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Who leads, and in which epoch.
async fn leader(client: &Client, space: &str) -> Option<(String, i64)> {
    let lease = api(client, "Lease", space).get_opt("kakehi-controller").await.unwrap()?;
    let spec = &lease.data["spec"];
    let holder = spec["holderIdentity"].as_str()?.split('_').next()?.to_owned();
    Some((holder, spec["leaseTransitions"].as_i64()?)).filter(|(holder, _)| !holder.is_empty())
}

pub async fn led_by(client: &Client, space: &str, name: &str) -> (i64, Duration) {
    let started = Instant::now();
    let led = async || leader(client, space).await.filter(|(holder, _)| holder == name).map(|(_, epoch)| epoch);
    (eventually(&format!("{name} leads"), led).await, started.elapsed())
}

fn accepted(object: &Value) -> bool {
    condition(&object["status"]["parents"][0], "Accepted") == "True" && !finalizers(object).is_empty()
}

async fn expect(client: &Client, space: &str, name: &str) {
    apply(client, "HTTPRoute", space, name, route("here", &format!("{name}.example.com"))).await;
    once(client, ("HTTPRoute", space, name), accepted).await;
}

#[tokio::test]
async fn another_replica_takes_over_from_one_that_hangs_dies_or_ends() {
    let client = Client::try_from(shared().await).unwrap();
    let kubeconfig = shared_kubeconfig().await;
    let space = namespace(&client, "failover").await;
    basics(&client, &format!("test.kakehi.dev/{space}"), &space).await;
    let mut first = Replica::start("first", &kubeconfig, &space);
    let before = led_by(&client, &space, "first").await.0;
    expect(&client, &space, "one").await;
    let second = Replica::start("second", &kubeconfig, &space);

    // One that hangs: nothing is written meanwhile, and it does not write when it is back.
    first.signal(Signal::STOP);
    apply(&client, "HTTPRoute", &space, "two", route("here", "two.example.com")).await;
    let (epoch, took) = led_by(&client, &space, "second").await;
    assert!(epoch > before);
    assert!(took > Duration::from_secs(8), "taken over after {took:?}, while the leader may still believe in itself");
    expect(&client, &space, "two").await;
    first.signal(Signal::CONT);
    assert_eq!(first.ended().await, Some(1), "who lost the Lease ends");

    // One that is killed, while routes come and go.
    let third = Replica::start("third", &kubeconfig, &space);
    sleep(Duration::from_secs(3)).await;
    second.signal(Signal::KILL);
    let churn = async {
        for index in 0..100 {
            let name = format!("churn-{index}");
            apply(&client, "HTTPRoute", &space, &name, route("here", &format!("{name}.example.com"))).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    let before = epoch;
    let ((epoch, _), ()) = tokio::join!(led_by(&client, &space, "third"), churn);
    assert!(epoch > before);
    for index in 0..100 {
        once(&client, ("HTTPRoute", &space, &format!("churn-{index}")), accepted).await;
    }

    // One that ends as it is told: nobody waits for its Lease to run out.
    let fourth = Replica::start("fourth", &kubeconfig, &space);
    sleep(Duration::from_secs(3)).await;
    let mut third = third;
    third.signal(Signal::TERM);
    let before = epoch;
    let (epoch, took) = led_by(&client, &space, "fourth").await;
    assert!(epoch > before);
    assert_eq!(third.ended().await, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    expect(&client, &space, "three").await;
    drop(fourth);
    discard(&client, &space).await;
}

#[tokio::test]
async fn an_epoch_does_not_fall_when_the_lease_is_deleted() {
    let client = Client::try_from(shared().await).unwrap();
    let kubeconfig = shared_kubeconfig().await;
    let space = namespace(&client, "no-lease").await;
    let first = Replica::start("first", &kubeconfig, &space);
    let before = led_by(&client, &space, "first").await.0;
    let second = Replica::start("second", &kubeconfig, &space);
    sleep(Duration::from_secs(3)).await;

    // The leader writes it again, and nobody takes the chance.
    delete(&client, ("Lease", &space, "kakehi-controller")).await;
    assert_eq!(led_by(&client, &space, "first").await.0, before);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(leader(&client, &space).await, Some(("first".to_owned(), before)));

    // Without a leader another one does, in a later epoch.
    first.signal(Signal::KILL);
    delete(&client, ("Lease", &space, "kakehi-controller")).await;
    assert!(led_by(&client, &space, "second").await.0 > before);
    drop(second);
    discard(&client, &space).await;
}
