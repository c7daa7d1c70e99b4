//! Several gateways on one catalog in Postgres: whose a step, an upload and a job are, and with which secrets.

use longshore::catalog::postgres::{OpenOptions, PostgresCatalog};
use longshore::catalog::{Catalog, Commit, Enlisted, GatewayId, SecretMark, Uploads as _};
use longshore::model::id::VersionId;
use longshore::model::secret::Secret;
use longshore::model::time::Timestamp;
use longshore::model::upload::UploadState;

use super::samples::*;
use crate::harness::postgres::{Database, Postgres, postgres};

async fn gateway(database: &Database, name: &str) -> PostgresCatalog {
    let gateway = Some(GatewayId::of(&[name.to_owned()]));
    let options = OpenOptions { gateway, ..OpenOptions::default() };
    let catalog = PostgresCatalog::open(&Secret::new(&database.url), options).await.expect("a catalog");
    assert!(catalog.is_shared());
    catalog
}

/// Two that are at work.
async fn two(test: &str) -> Option<(&'static Postgres, Database, PostgresCatalog, PostgresCatalog)> {
    let server = postgres(test)?;
    let database = server.fresh();
    let (one, other) = (gateway(&database, "one").await, gateway(&database, "other").await);
    assert_eq!(one.enlist(&[]).await.unwrap(), Enlisted { differing: Vec::new(), others: false });
    assert_eq!(other.enlist(&[]).await.unwrap(), Enlisted { differing: Vec::new(), others: true });
    Some((server, database, one, other))
}

/// Lets the time pass in which all of them count as being at work.
fn time_passes(server: &Postgres, database: &Database) {
    server
        .sql(&database.name, "UPDATE longshore.gateways SET until = now(); UPDATE longshore.leases SET until = now()");
}

#[tokio::test]
async fn a_step_is_taken_over_from_who_is_gone_and_from_nobody_else() {
    let Some((server, database, one, other)) = two("a_step_is_taken_over").await else { return };
    let b = bucket(&one, "b").await.id;
    let owed = vec![drop_of(b, "k", VersionId::fresh()), drop_of(b, "l", VersionId::fresh())];
    let written = one.commit(US, Commit { tasks: owed, ..Commit::default() }).await.unwrap();
    let ids: Vec<i64> = written.iter().map(|task| task.id).collect();
    assert_eq!(one.own_tasks(US, 0, 10).await.unwrap(), written);
    assert!(other.own_tasks(US, 0, 10).await.unwrap().is_empty());
    let seen = other.tasks(US, 0, 10).await.unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|task| !task.ours) && tasks(&one).await.iter().all(|task| task.ours));
    assert!(other.tasks_of(US, b, &key("k")).await.unwrap().iter().all(|task| !task.ours));
    other.tasks_done(US, &ids).await.unwrap();
    assert!(other.take_over(US, 10).await.unwrap().is_empty(), "the other one is at work");
    assert_eq!(tasks(&one).await.len(), 2, "another one's steps are not forgotten");
    time_passes(server, &database);
    assert!(one.beat().await.unwrap());
    assert!(other.take_over(US, 10).await.unwrap().is_empty(), "it has said so again");
    time_passes(server, &database);
    assert_eq!(other.take_over(US, 1).await.unwrap(), ids[..1]);
    assert_eq!(other.take_over(US, 10).await.unwrap(), ids[1..]);
    one.tasks_done(US, &ids).await.unwrap();
    assert_eq!(other.own_tasks(US, 0, 10).await.unwrap().len(), 2, "it is no longer its own");
    other.tasks_done(US, &ids).await.unwrap();
    assert!(tasks(&one).await.is_empty());
    // Who begins again has what it left.
    let left = one.commit(US, Commit { tasks: vec![drop_of(b, "m", VersionId::fresh())], ..Commit::default() });
    let left = left.await.unwrap();
    one.close().await.unwrap();
    let again = gateway(&database, "one").await;
    assert_eq!(again.own_tasks(US, 0, 10).await.unwrap(), left);
}

#[tokio::test]
async fn a_lay_out_is_forgotten_only_while_its_version_is_current() {
    let Some((_, _, one, other)) = two("a_lay_out_is_forgotten").await else { return };
    let b = bucket(&one, "b").await.id;
    let (first, second) = (rich("k"), rich("k"));
    let of = |object: &longshore::model::object::Object| drop_of(b, "k", object.version);
    let write = change(b, "k", None, Some(&first));
    let tasks = vec![of(&first)];
    let task = one.commit(US, Commit { changes: vec![write], tasks, ..Commit::default() }).await.unwrap()[0].id;
    let displace = change(b, "k", Some(first.version), Some(&second));
    let tasks = vec![of(&second)];
    let newer = other.commit(US, Commit { changes: vec![displace], tasks, ..Commit::default() }).await.unwrap()[0].id;
    assert!(one.laid_out(US, &[task]).await.unwrap().is_empty());
    assert!(one.laid_out(US, &[newer]).await.unwrap().is_empty(), "it is the other one's");
    assert_eq!(other.laid_out(US, &[newer, task]).await.unwrap(), [newer]);
    assert_eq!(one.own_tasks(US, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_upload_is_completed_by_one_that_is_at_work() {
    let Some((server, database, one, other)) = two("an_upload_is_completed").await else { return };
    let b = bucket(&one, "b").await.id;
    let id = upload(&one, b, "k", 1).await.id;
    let (open, completing) = (UploadState::Open, UploadState::Completing);
    one.set_upload_state(US, id, &open, completing.clone()).await.unwrap();
    assert_conflict(other.set_upload_state(US, id, &open, completing.clone()).await);
    assert_conflict(other.set_upload_state(US, id, &completing, open.clone()).await);
    other.tidy_uploads(US, true, Timestamp(0)).await.unwrap();
    assert_eq!(other.upload(US, id).await.unwrap().map(|upload| upload.state), Some(completing.clone()));
    one.set_upload_state(US, id, &completing, open.clone()).await.unwrap();
    one.set_upload_state(US, id, &open, completing.clone()).await.unwrap();
    time_passes(server, &database);
    other.set_upload_state(US, id, &completing, open.clone()).await.expect("who was at it is gone");
    other.set_upload_state(US, id, &open, completing.clone()).await.unwrap();
    assert!(other.beat().await.unwrap());
    one.tidy_uploads(US, true, Timestamp(0)).await.unwrap();
    assert_conflict(one.set_upload_state(US, id, &completing, open.clone()).await);
    other.leave().await.unwrap();
    one.tidy_uploads(US, true, Timestamp(0)).await.unwrap();
    assert_eq!(one.upload(US, id).await.unwrap().map(|upload| upload.state), Some(open));
}

#[tokio::test]
async fn a_job_is_done_by_one_at_a_time() {
    let Some((server, database, one, other)) = two("a_job_is_done_by_one_at_a_time").await else { return };
    assert!(one.lease("walks").await.unwrap() && one.lease("walks").await.unwrap());
    assert!(!other.lease("walks").await.unwrap());
    assert!(other.lease("lifecycle").await.unwrap(), "another job");
    other.give_back("walks").await.unwrap();
    assert!(!other.lease("walks").await.unwrap(), "it was not its own to give");
    one.give_back("walks").await.unwrap();
    assert!(other.lease("walks").await.unwrap());
    time_passes(server, &database);
    assert!(one.lease("walks").await.unwrap() && !other.lease("walks").await.unwrap());
    one.leave().await.unwrap();
    assert!(other.lease("walks").await.unwrap(), "who leaves gives all back");
    assert!(other.beat().await.unwrap());
    assert!(!other.has_others().await.unwrap() && one.has_others().await.unwrap());
}

#[tokio::test]
async fn who_has_other_secrets_is_told_which() {
    let Some(server) = postgres("who_has_other_secrets_is_told_which") else { return };
    let database = server.fresh();
    let (one, other) = (gateway(&database, "one").await, gateway(&database, "other").await);
    let secrets = |master: &str, tokens: &str| {
        [("master", master, true), ("tokens", tokens, false)].map(|(name, mark, lasting)| SecretMark {
            name: name.to_owned(),
            mark: mark.to_owned(),
            lasting,
        })
    };
    let told = async |catalog: &PostgresCatalog, master, tokens| {
        catalog.enlist(&secrets(master, tokens)).await.unwrap().differing
    };
    assert!(told(&one, "m", "t").await.is_empty());
    assert_eq!(told(&other, "m", "u").await, ["tokens"]);
    assert_eq!(told(&other, "n", "u").await, ["master"]);
    assert!(!one.has_others().await.unwrap(), "who was refused is not at work");
    assert!(told(&other, "m", "t").await.is_empty());
    // The same one, started again with other tokens, while another one is at work and while none is.
    assert_eq!(told(&one, "m", "u").await, ["tokens"]);
    other.leave().await.unwrap();
    assert!(told(&one, "m", "u").await.is_empty());
    assert_eq!(told(&one, "n", "u").await, ["master"]);
    // A second run under its name: the first one hears of it.
    let again = gateway(&database, "one").await;
    assert!(told(&again, "m", "u").await.is_empty());
    assert!(again.beat().await.unwrap() && !one.beat().await.unwrap());
}
