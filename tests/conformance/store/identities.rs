//! Users and access keys: made, changed, seen and removed by administrators alone.

use std::sync::Arc;

use longshore::auth::secret::Secret;
use longshore::model::caller::{Caller, User, Who};
use longshore::store::Error;

use super::{Bed, ROOT};

/// What there is to be done with users and keys, as `store::identity` names it.
const DOORS: [&str; 7] = ["users", "put_user", "delete_user", "add_key", "add_role_key", "keys", "delete_key"];

const EVERYTHING: &str = r#"{"Statement":{"Effect":"Allow","Action":["s3:*","iam:*","sts:*"],"Resource":"*"}}"#;

fn user(name: &str, policy: &str) -> User {
    let (name, policy) = (name.to_owned(), policy.to_owned());
    User { display_name: name.clone(), name, email: None, groups: Vec::new(), policy }
}

async fn through(door: &str, bed: &Bed, caller: &Caller) -> Result<(), Error> {
    let store = &bed.store;
    match door {
        "users" => store.users(caller, None, 10).await.map(drop),
        // Somebody who makes itself more than it is.
        "put_user" => store.put_user(caller, user("bob", "admin"), true).await,
        "delete_user" => store.delete_user(caller, "ann").await,
        "add_key" => store.add_key(caller, "boss", None).await.map(drop),
        // Somebody who makes itself the service.
        "add_role_key" => {
            let claims = serde_json::Map::from_iter([("role".to_owned(), "service_role".into())]);
            store.add_role_key(caller, &claims, None).await.map(drop)
        }
        "keys" => store.keys(caller, "boss").await.map(drop),
        "delete_key" => store.delete_key(caller, "BOSSKEY").await,
        _ => panic!("no such door: {door}"),
    }
}

/// All users, and the keys of the boss.
async fn there(bed: &Bed) -> (Vec<User>, Vec<String>) {
    let keys = bed.store.keys(&ROOT, "boss").await.expect("lists");
    (bed.store.users(&ROOT, None, 10).await.expect("lists"), keys.into_iter().map(|key| key.access_key).collect())
}

pub(super) async fn users_and_keys_are_for_administrators(bed: &mut Bed) {
    let own = |name: &str, policy: &str| Caller::from(Who::User(Arc::new(user(name, policy))));
    for (name, policy) in [("ann", "readwrite"), ("bob", "readwrite"), ("boss", "admin")] {
        bed.store.put_user(&ROOT, user(name, policy), false).await.expect("made");
    }
    let key = ("BOSSKEY".to_owned(), Secret::new("a-secret-of-the-boss"));
    bed.store.add_key(&ROOT, "boss", Some(key)).await.expect("made");
    let refused = [
        ("nobody", Caller::ANONYMOUS),
        ("a reader", own("bob", "readonly")),
        ("a writer", own("bob", "readwrite")),
        ("who may everything of S3", own("bob", EVERYTHING)),
        ("who cannot be judged", own("bob", "{")),
        ("the owner of the key", own("boss", "readwrite")),
        ("who is called as root is", own("root", "readwrite")),
    ];
    let before = there(bed).await;
    for (who, caller) in &refused {
        for door in DOORS {
            let answer = through(door, bed, caller).await;
            assert!(matches!(answer, Err(Error::AccessDenied)), "{who}, {door}: {answer:?}");
        }
    }
    assert_eq!(there(bed).await, before);
    for door in DOORS {
        through(door, bed, &own("boss", "admin")).await.unwrap_or_else(|error| panic!("{door}: {error}"));
    }
}

#[test]
fn every_door_to_users_and_keys_is_tried() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/identity.rs");
    let text = std::fs::read_to_string(path).expect("the doors");
    let doors: Vec<&str> = text.split("pub async fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
    assert_eq!(doors, DOORS);
}
