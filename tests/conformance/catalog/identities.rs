//! Users and their access keys.

use longshore::catalog::{AccessKey, Catalog, Error};
use longshore::model::bucket::{Bucket, BucketSettings};
use longshore::model::caller::User;
use longshore::model::time::{Clock, Timestamp};

use super::samples::*;

pub(super) fn user(name: &str) -> User {
    User {
        name: name.into(),
        display_name: format!("The \"{name}\""),
        email: None,
        groups: vec!["g'1".into(), "g2".into()],
        policy: "{\"Version\": \"2012-10-17\"}".into(),
    }
}

pub(super) fn access_key(id: &str, user: &str) -> AccessKey {
    AccessKey {
        access_key: id.into(),
        user: user.into(),
        sealed_secret: vec![0, 1, 255, b'\''],
        claims: id.ends_with('2').then(|| "{\"role\":\"anon'\"}".to_owned()),
        created: Timestamp(42),
    }
}

fn fields(key: &AccessKey) -> (&str, &str, &[u8], Timestamp, Option<&str>) {
    (&key.access_key, &key.user, &key.sealed_secret, key.created, key.claims.as_deref())
}

pub(super) async fn users_are_kept_and_replaced(catalog: &dyn Catalog) {
    for name in ["zoë", "alice", "Bob"] {
        catalog.put_user(user(name), false).await.unwrap();
    }
    let taken = catalog.put_user(user("alice"), false).await;
    assert!(matches!(taken, Err(Error::AlreadyExists)), "{taken:?}");
    let other = User { email: Some("a@b".into()), groups: Vec::new(), policy: "admin".into(), ..user("alice") };
    catalog.put_user(other.clone(), true).await.unwrap();
    assert_eq!(catalog.user("alice").await.unwrap(), Some(other.clone()));
    assert_eq!(catalog.user("ALICE").await.unwrap(), None);
    catalog.put_user(user("new"), true).await.expect("replacing also makes");
    assert_eq!(catalog.users(None, 99).await.unwrap(), [user("Bob"), other, user("new"), user("zoë")]);
    assert_eq!(catalog.users(Some("alice"), 1).await.unwrap(), [user("new")]);
}

pub(super) async fn keys_belong_to_users(catalog: &dyn Catalog) {
    assert_missing(catalog.add_key(access_key("AK1", "alice")).await);
    catalog.put_user(user("alice"), false).await.unwrap();
    catalog.put_user(user("bob"), false).await.unwrap();
    for (id, name) in [("AK2", "alice"), ("AK1", "alice"), ("AK3", "bob")] {
        catalog.add_key(access_key(id, name)).await.unwrap();
    }
    let taken = catalog.add_key(access_key("AK1", "bob")).await;
    assert!(matches!(taken, Err(Error::AlreadyExists)), "{taken:?}");
    let found = catalog.key("AK1").await.unwrap().expect("it is there");
    assert_eq!(fields(&found), fields(&access_key("AK1", "alice")));
    assert!(catalog.key("ak1").await.unwrap().is_none());
    let keys = catalog.keys("alice").await.unwrap();
    assert_eq!(keys.iter().map(|k| k.access_key.as_str()).collect::<Vec<_>>(), ["AK1", "AK2"]);
    catalog.put_user(user("alice"), true).await.unwrap();
    assert_eq!(catalog.keys("alice").await.unwrap().len(), 2, "a user that is replaced keeps its keys");
    catalog.delete_key("AK1").await.unwrap();
    assert!(catalog.key("AK1").await.unwrap().is_none());
    assert_missing(catalog.delete_key("AK1").await);
}

pub(super) async fn a_user_goes_with_its_keys_and_its_buckets_pass_to_root(catalog: &dyn Catalog) {
    for name in ["alice", "bob"] {
        catalog.put_user(user(name), false).await.unwrap();
        catalog.add_key(access_key(name, name)).await.unwrap();
        let mut new = new_bucket(name);
        new.owner = name.into();
        catalog.create_bucket(US, new).await.unwrap();
    }
    catalog.delete_user("alice").await.unwrap();
    assert_eq!(catalog.user("alice").await.unwrap(), None);
    assert!(catalog.key("alice").await.unwrap().is_none());
    assert!(catalog.key("bob").await.unwrap().is_some());
    let owner = |found: Option<Bucket>| found.expect("it is there").owner;
    assert_eq!(owner(catalog.bucket(US, &name("alice")).await.unwrap()), "root");
    assert_eq!(owner(catalog.bucket(US, &name("bob")).await.unwrap()), "bob");
    assert_missing(catalog.delete_user("alice").await);
}

pub(super) async fn the_generation_moves_with_identities_and_buckets(catalog: &dyn Catalog) {
    let mut last = catalog.generation().await.unwrap();
    let mut moved = async |what: &str, wanted: bool| {
        let now = catalog.generation().await.unwrap();
        assert_eq!(now != last, wanted, "{what}");
        last = now;
    };
    let b = bucket(catalog, "b").await.id;
    moved("create_bucket", true).await;
    catalog.set_bucket(US, b, BucketSettings { public: true, ..BucketSettings::default() }).await.unwrap();
    moved("set_bucket", true).await;
    catalog.set_indexed(US, b, Some(Timestamp(1))).await.unwrap();
    moved("set_indexed", true).await;
    catalog.put_user(user("u"), false).await.unwrap();
    moved("put_user", true).await;
    catalog.add_key(access_key("AK", "u")).await.unwrap();
    moved("add_key", true).await;
    catalog.delete_key("AK").await.unwrap();
    moved("delete_key", true).await;
    catalog.delete_user("u").await.unwrap();
    moved("delete_user", true).await;

    insert(catalog, b, &plain("k")).await;
    let id = upload(catalog, b, "k", 1).await.id;
    catalog.add_part(US, id, part(1)).await.unwrap();
    catalog.tasks_done(US, &[1]).await.unwrap();
    moved("objects and uploads", false).await;
    assert_missing(catalog.delete_key("AK").await);
    moved("what was refused", false).await;

    catalog.delete_bucket(US, b, true).await.unwrap();
    moved("delete_bucket", true).await;
}

pub(super) async fn passwords_go_with_their_users(catalog: &dyn Catalog) {
    assert_missing(catalog.set_password("alice", "h").await);
    catalog.put_user(user("alice"), false).await.unwrap();
    assert_eq!(catalog.password("alice").await.unwrap(), None);
    for hash in ["$one$", "$two'$"] {
        catalog.set_password("alice", hash).await.unwrap();
        assert_eq!(catalog.password("alice").await.unwrap().as_deref(), Some(hash));
    }
    catalog.put_user(user("alice"), true).await.unwrap();
    assert!(catalog.password("alice").await.unwrap().is_some(), "a user that is changed keeps its password");
    assert_eq!(catalog.password("a\0").await.unwrap(), None);
    catalog.delete_user("alice").await.unwrap();
    catalog.put_user(user("alice"), false).await.unwrap();
    assert_eq!(catalog.password("alice").await.unwrap(), None);
}

pub(super) async fn tokens_that_were_given_back_are_known_until_they_end(catalog: &dyn Catalog) {
    let given_back = async |token| catalog.is_given_back(token, "nobody", 7).await.unwrap();
    assert!(!given_back("t1").await);
    for _ in 0..2 {
        catalog.give_token_back("t1", 100, 50).await.unwrap();
    }
    assert!(given_back("t1").await && !given_back("T1").await);
    catalog.give_token_back("t2", 300, 200).await.unwrap();
    assert!(!given_back("t1").await && given_back("t2").await);
    // A token outlives its user, and is not that of another one of its name.
    catalog.put_user(user("carol"), false).await.unwrap();
    let now = Clock::now().seconds();
    assert!(!catalog.is_given_back("t3", "carol", now).await.unwrap());
    catalog.delete_user("carol").await.unwrap();
    catalog.put_user(user("carol"), false).await.unwrap();
    assert!(catalog.is_given_back("t3", "carol", now).await.unwrap());
    assert!(!catalog.is_given_back("t3", "carol", now + 60).await.unwrap());
    assert!(!catalog.is_given_back("t3", "Carol", now).await.unwrap());
}
