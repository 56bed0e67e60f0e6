//! What takes its time, at once: these stories do next to nothing but wait.

use crate::{endpoints, silence, webhook};

#[tokio::test]
async fn what_fails_or_is_silent_or_missing_for_long_holds_nothing_up() {
    tokio::join!(
        endpoints::missing_endpoints_are_looked_for_later_each_time(),
        silence::a_leader_whose_connections_fall_silent_leads_on(),
        silence::a_watch_that_has_fallen_silent_is_begun_anew(),
        webhook::edges_that_admission_holds_up_hold_up_no_others(),
        webhook::statuses_that_admission_holds_up_hold_up_no_others(),
    );
}
