//! Breaks the law on purpose.
use crate::{model, store::pump as water};

fn f() -> kube::Client {
    kube::Client::try_from(model::x(water::y())).unwrap()
}
