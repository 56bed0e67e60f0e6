use crate::store::kinds;
use std::time;

#[cfg(test)]
mod tests {
    use crate::edge::only_in_tests;
}

async fn f() {
    tokio::time::sleep(time::Duration::ZERO).await;
    kinds::g()
}
