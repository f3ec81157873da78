//! Whole clusters, from `clusterctl init` to the last object gone, on one bed.
//!
//! One test: each part stands on what the former ones left, as a user's day does, and a bed costs a minute. Parts that
//! do not disturb each other run at the same time.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod etcd;
mod hosts;
mod joining;
mod rights;
mod shown;
mod silence;
mod storage;
mod support;
mod template;
mod troubles;

use std::time::Duration;

use anyhow::Result;
use e2e::demo::Demo;
use storage::Storages;
use support::{Day, Fleet};

/// A long day (`K0SMOTRON_LONG_DAY=1`, see CONTRIBUTING.md) takes nine minutes more than CI has.
fn long() -> bool {
    std::env::var("K0SMOTRON_LONG_DAY").is_ok_and(|value| value == "1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_live_and_die_as_their_users_expect() -> Result<()> {
    let day = Day::begin().await?;
    let fleet = Fleet::start(&day).await?;
    let demo = Demo { name: "first".into(), namespace: "default".into() };

    template::a_cluster_comes_up_from_the_template(&day, &fleet, &demo).await?;
    shown::people_see_that_everything_is_well(&day, &demo).await?;
    template::pods_logs_exec_and_services_work_through_the_hosted_control_plane(&day, &demo).await?;
    let storages = Storages::come_up(&day).await?;
    storages.keep_their_data(&day).await?;
    // Longer than any timer of a minute.
    let window = Duration::from_secs(if long() { 300 } else { 60 });
    silence::settled_clusters_cost_no_request_and_a_restart_writes_nothing(&day, window).await?;

    // With quiet managers: what they say, and what a person does beside them.
    tokio::try_join!(
        troubles::hosted_clusters_name_their_troubles_and_recover(&day),
        joining::a_worker_joins_by_hand_with_a_token(&day, &fleet),
    )?;

    // Troubles of a host are mostly patience, which the control planes fill with work.
    let control_planes = async {
        storages.delete(&day).await?;
        // The story under a manager that lives is part of the one under a manager that dies.
        if long() {
            etcd::a_hosted_etcd_grows_shrinks_and_heals_under_a_writer(&day).await?;
        }
        etcd::a_hosted_etcd_holds_while_its_manager_is_killed_again_and_again(&day).await
    };
    tokio::try_join!(control_planes, hosts::a_host_names_its_troubles_and_recovers(&day, &fleet, &demo))?;

    template::a_deleted_cluster_leaves_nothing_and_its_machine_joins_another(&day, &fleet, &demo).await?;
    rights::no_manager_lacks_a_right_and_none_has_one_that_it_never_uses(&day).await?;
    fleet.stop().await
}
