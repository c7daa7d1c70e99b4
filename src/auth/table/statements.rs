//! Principals, actions, resources and their opposites; which document wins.
//!
//! **Invariant:** every document of a table is compiled before it is asked, so no row is refused merely because its
//! document was not understood.

use super::*;

/// the elements of one statement of the policy of `b`, which is alice's | caller | action | key, or `-` for the bucket |
/// answer, about an object of alice's
const ONE: &str = r#"
    "Allow" P:"*" A:"s3:GetObject" R:"b/*" | anon | GetObject | k | +
    "Allow" P:{"AWS":"*"} A:"s3:GetObject" R:"b/*" | anon | GetObject | k | +
    "Allow" P:{"AWS":["*"]} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"arn:aws:iam::bob:root"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"arn:aws:iam::bob:root"} A:"s3:GetObject" R:"b/*" | carol | GetObject | k | -
    "Allow" P:{"AWS":"arn:aws:iam::123456789012:user/bob"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"arn:aws:iam:::user/bob"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"arn:aws:iam:::user/staff/bob"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"arn:aws:iam:::user/bob"} A:"s3:GetObject" R:"b/*" | anon | GetObject | k | -
    "Allow" P:{"AWS":"bob"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"AWS":"bob"} A:"s3:GetObject" R:"b/*" | carol | GetObject | k | -
    "Allow" P:{"AWS":"anonymous"} A:"s3:GetObject" R:"b/*" | anon | GetObject | k | -
    "Allow" P:{"AWS":["bob","carol"]} A:"s3:GetObject" R:"b/*" | carol | GetObject | k | +
    "Allow" P:{"CanonicalUser":"bob"} A:"s3:GetObject" R:"b/*" | bob | GetObject | k | +
    "Allow" P:{"CanonicalUser":"bob"} A:"s3:GetObject" R:"b/*" | carol | GetObject | k | -
    "Allow" P:{"Service":"logging.s3.amazonaws.com"} A:"s3:PutObject" R:"b/*" | bob | PutObject | k | -
    "Allow" P:{"AWS":"bob"} A:"s3:*" R:["b","b/*"] | bob | PutObject | k | +
    "Allow" P:{"AWS":"bob"} A:"*" R:["b","b/*"] | bob | PutBucketPolicy | - | +
    "Allow" P:{"AWS":"bob"} A:"*" R:["b","b/*"] | bob | longshore:Administer | - | -
    "Allow" P:{"AWS":"bob"} A:"s3:*" R:"b/*" | bob | ListBucket | - | -
    "Allow" P:{"AWS":"bob"} A:"s3:*" R:"b" | bob | GetObject | k | -
    "Allow" P:"*" A:"s3:getobject" R:"b/*" | anon | GetObject | k | +
    "Allow" P:"*" A:"S3:Get*" R:"b/*" | anon | GetObject | k | +
    "Allow" P:"*" A:"s3:Get*" R:"b/*" | anon | PutObject | k | -
    "Allow" P:"*" A:"s3:GetObjec?" R:"b/*" | anon | GetObject | k | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/*" | anon | GetObjectVersion | k | -
    "Allow" P:"*" A:"s3:GetObjectVersion" R:"b/*" | anon | GetObjectVersion | k | +
    "Allow" P:"*" A:"s3:GetObjectVersion" R:"b/*" | anon | GetObject | k | -
    "Allow" P:"*" A:["s3:PutObject","s3:GetObject"] R:"b/*" | anon | GetObject | k | +
    "Allow" P:"*" NA:"s3:DeleteObject" R:"b/*" | anon | GetObject | k | +
    "Allow" P:"*" NA:"s3:Get*" R:"b/*" | anon | GetObject | k | -
    "Allow" P:"*" NA:"s3:Get*" R:["b","b/*"] | anon | longshore:Administer | - | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/public/*" | anon | GetObject | public/a | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/public/*" | anon | GetObject | private/a | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/public/*" | anon | GetObject | public | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/a?" | anon | GetObject | ab | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/a?" | anon | GetObject | abc | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/K" | anon | GetObject | k | -
    "Allow" P:"*" A:"s3:GetObject" R:["b/x","b/k"] | anon | GetObject | k | +
    "Allow" P:"*" A:"s3:GetObject" NR:"b/x" | anon | GetObject | k | +
    "Allow" P:"*" A:"s3:GetObject" NR:"b/k" | anon | GetObject | k | -
    "Allow" P:"*" A:"s3:GetObject" R:"*/*" | anon | GetObject | k | +
    "Allow" P:"*" A:"s3:ListBucket" R:["b","b/*"] | anon | ListBucket | - | +
    "Allow" P:"*" A:"s3:ListBucket" R:"*" | anon | ListBucket | - | +
    "Allow" P:"*" A:"s3:PutObject" R:"b" | anon | PutObject | k | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/${aws:username}/*" | bob | GetObject | bob/a | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/${aws:username}/*" | bob | GetObject | carol/a | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/${aws:username}/*" | anon | GetObject | bob/a | -
    "Allow" P:"*" A:"s3:GetObject" R:"b/${aws:username, 'guest'}/*" | anon | GetObject | guest/a | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/${aws:userid}/*" | bob | GetObject | bob/a | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/${*}" | anon | GetObject | * | +
    "Allow" P:"*" A:"s3:GetObject" R:"b/${*}" | anon | GetObject | k | -
    "Allow" P:"*" A:"s3:GetObject" NR:"b/${aws:username}" | anon | GetObject | k | -
    "Allow" P:"*" A:"s3:GetObject" NR:"b/${aws:username}" | bob | GetObject | k | +
    "Deny" P:"*" A:"s3:GetObject" R:"b/*" | alice | GetObject | k | -
    "Deny" P:"*" A:"s3:GetObject" R:"b/*" | root | GetObject | k | +
    "Deny" P:"*" A:"s3:GetObject" R:"b/*" | boss/admin | GetObject | k | -
    "Deny" P:"*" A:"s3:GetObject" R:"b/x" | alice | GetObject | k | +
    "Deny" P:"*" A:"*" R:["b","b/*"] | alice | GetBucketPolicy | - | +
    "Deny" P:"*" A:"*" R:["b","b/*"] | alice | PutBucketPolicy | - | +
    "Deny" P:"*" A:"*" R:["b","b/*"] | alice | DeleteBucketPolicy | - | +
    "Deny" P:"*" A:"*" R:["b","b/*"] | alice | ListBucket | - | -
    "Deny" P:"*" A:"*" R:["b","b/*"] | boss/admin | GetBucketPolicy | - | -
    "Deny" P:"*" A:"*" R:["b","b/*"] | boss/admin | longshore:Administer | - | +
    "Deny" P:"*" A:"*" R:["b","b/*"] | root | PutBucketPolicy | - | +
    "Deny" P:"*" A:"s3:GetBucketPublicAccessBlock" R:"b" | alice | GetBucketPublicAccessBlock | - | -
    "Deny" P:{"AWS":"bob"} A:"s3:*" R:["b","b/*"] | alice | GetObject | k | +
    "Deny" NP:{"AWS":"alice"} A:"s3:*" R:["b","b/*"] | alice | GetObject | k | +
    "Deny" NP:{"AWS":"bob"} A:"s3:*" R:["b","b/*"] | alice | GetObject | k | -
    "Deny" NP:{"AWS":["bob","arn:aws:iam::alice:root"]} A:"s3:*" R:"b/*" | alice | GetObject | k | +
    "Deny" P:"*" NA:"s3:GetObject" R:["b","b/*"] | alice | GetObject | k | +
    "Deny" P:"*" NA:"s3:GetObject" R:["b","b/*"] | alice | PutObject | k | -
    "Deny" P:"*" A:"s3:*" NR:"b/k" | alice | GetObject | k | +
    "Deny" P:"*" A:"s3:*" NR:"b/k" | alice | GetObject | x | -
    "Deny" P:"*" A:"s3:*" NR:"b/${aws:username}" | alice | GetObject | alice | +
"#;

/// the user's policy, its elements as above | action | owner of the bucket | answer about the key `k`
const OWN: &str = r#"
    "Allow" A:"s3:GetObject" R:"b/*" | GetObject | u | +
    "Allow" A:"s3:GetObject" R:"b/*" | GetObject | root | +
    "Allow" A:"s3:GetObject" R:"b/*" | GetObject | x | -
    "Allow" A:"s3:GetObject" R:"c/*" | GetObject | u | -
    "Allow" A:"s3:GetObject" R:"b/*" | PutObject | u | -
    "Allow" A:"s3:*" R:"*" | PutObject | u | +
    "Allow" A:"s3:*" R:"*" | longshore:Administer | u | -
    "Allow" A:"*" R:"*" | longshore:Administer | u | +
    "Allow" A:"*" R:"*" | longshore:Administer | x | -
    "Allow" NA:"s3:DeleteObject" R:"*" | PutObject | u | +
    "Allow" NA:"s3:DeleteObject" R:"*" | DeleteObject | u | -
    "Allow" NA:"s3:DeleteObject" R:"*" | longshore:Administer | u | -
    "Allow" A:"s3:GetObject" R:"b/${aws:username}*" | GetObject | root | -
    "Allow" A:"s3:GetObject" R:"b/k${aws:nothing, ''}" | GetObject | root | +
    "Allow" A:"iam:*" R:"*" | GetObject | u | -
    "Allow" A:["iam:CreateUser","s3:GetObject"] R:"*" | GetObject | u | +
    "Allow" A:"s3:*" NR:"b/k" | GetObject | u | -
    "Allow" A:"s3:*" NR:"b/x" | GetObject | u | +
    "Deny" A:"s3:*" R:"*" | GetObject | u | -
"#;

/// Puts the short form of a statement into JSON.
fn statement(short: &str) -> String {
    let mut json = format!("{{\"Effect\":{short}}}");
    for (short, long) in
        [("NP", "NotPrincipal"), ("NA", "NotAction"), ("NR", "NotResource"), ("P", "Principal"), ("A", "Action")]
    {
        json = json.replace(&format!(" {short}:"), &format!(",\"{long}\":"));
    }
    json.replace(" R:", ",\"Resource\":")
        .replace("\"b", "\"arn:aws:s3:::b")
        .replace("\"c/", "\"arn:aws:s3:::c/")
        .replace("\"*/*", "\"arn:aws:s3:::*/*")
        .replace("\"arn:aws:s3:::bob\"", "\"bob\"")
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Id":"i","Statement":[{}]}}"#, statements.join(","))
}

#[test]
fn statements_of_a_bucket() {
    let mut wrong = vec![];
    for row in rows(ONE) {
        let [short, who, what, about, wanted] = row[..] else { panic!("{row:?}") };
        let bucket =
            bucket("alice", BucketConfig { policy: Some(document(&[statement(short)])), ..Default::default() });
        crate::auth::policy::compile_bucket(bucket.config.policy.as_deref().expect("set")).expect(short);
        let (rules, object) = (Rules::of(&bucket), object("alice", None, vec![]));
        let key = key(if about == "-" { "k" } else { about });
        let target = match about {
            "-" => Target::Bucket(&bucket, &rules),
            _ => Target::Object(&bucket, &rules, &key, Row::Is(&object)),
        };
        if sign(decide(&caller(who), action(what), target)) != wanted {
            wrong.push(row.join(" | "));
        }
    }
    assert!(wrong.is_empty(), "decided otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn statements_of_a_user() {
    let mut wrong = vec![];
    for row in rows(OWN) {
        let [short, what, owner, wanted] = row[..] else { panic!("{row:?}") };
        let policy = document(&[statement(short)]);
        crate::auth::policy::compile(&policy).expect(short);
        let bucket = bucket(owner, BucketConfig::default());
        let (rules, object, key) = (Rules::of(&bucket), object(owner, None, vec![]), key("k"));
        let target = match what.starts_with("longshore") {
            true => Target::Bucket(&bucket, &rules),
            false => Target::Object(&bucket, &rules, &key, Row::Is(&object)),
        };
        if sign(decide(&user("u", &policy), action(what), target)) != wanted {
            wrong.push(row.join(" | "));
        }
    }
    assert!(wrong.is_empty(), "decided otherwise:\n{}", wrong.join("\n"));
}

/// What wins where several have something to say about alice's bucket and `k` in it.
#[test]
fn a_deny_wins_wherever_it_stands() {
    const ALL: &str = r#""Allow" P:"*" A:"s3:*" R:["b","b/*"]"#;
    const NO_GET: &str = r#""Deny" P:"*" A:"s3:GetObject" R:"b/*""#;
    const NO_PRIVATE: &str =
        r#""Deny" P:"*" A:"s3:GetObject" R:"b/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"1"}}"#;
    const OWN_NO_GET: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}]}"#;
    let tagged = || Tag { key: "a".into(), value: "1".into() };
    for (policy, list, who, own, tags, wanted, unseen) in [
        (&[ALL][..], "-", "bob", "readwrite", vec![], "+", "?"),
        (&[ALL, NO_GET], "-", "bob", "readwrite", vec![], "-", "-"),
        (&[NO_GET, ALL], "-", "bob", "readwrite", vec![], "-", "-"),
        (&[NO_GET], "public-read", "anon", "", vec![], "-", "-"),
        (&[NO_GET], "-", "alice", "readwrite", vec![], "-", "-"),
        (&[NO_GET], "-", "root", "", vec![], "+", "+"),
        (&[ALL], "public-read", "bob", OWN_NO_GET, vec![], "-", "-"),
        (&[ALL], "-", "alice", OWN_NO_GET, vec![], "-", "-"),
        (&[ALL, NO_PRIVATE], "-", "bob", "readwrite", vec![], "+", "?"),
        (&[ALL, NO_PRIVATE], "-", "bob", "readwrite", vec![tagged()], "-", "?"),
        (&[NO_PRIVATE], "-", "alice", "readwrite", vec![tagged()], "-", "?"),
        (&[NO_PRIVATE], "-", "alice", "readwrite", vec![], "+", "?"),
        (&[NO_PRIVATE], "public-read", "anon", "", vec![tagged()], "-", "?"),
        (&[ALL], "-", "bob", "nonsense", vec![], "-", "-"),
    ] {
        let statements: Vec<String> = policy.iter().map(|short| statement(short)).collect();
        let bucket = bucket("alice", BucketConfig { policy: Some(document(&statements)), ..Default::default() });
        let (rules, key) = (Rules::of(&bucket), key("k"));
        let object = object("alice", acl(list, "alice", "alice"), tags);
        let answer = |row| sign(decide(&user(who, own), Action::GetObject, Target::Object(&bucket, &rules, &key, row)));
        assert_eq!(answer(Row::Is(&object)), wanted, "{policy:?} {list} {who} {own}");
        assert_eq!(answer(Row::Unknown), unseen, "{policy:?} {list} {who} {own}");
    }
}

#[test]
fn what_cannot_be_read_denies() {
    for (policy, who, what, wanted) in [
        ("{", "alice", Action::ListBucket, "-"),
        ("{", "bob", Action::ListBucket, "-"),
        ("{", "boss/admin", Action::ListBucket, "-"),
        ("{", "root", Action::ListBucket, "+"),
        ("{", "alice", Action::PutBucketPolicy, "+"),
        ("{", "alice", Action::DeleteBucketPolicy, "+"),
        ("{", "bob", Action::DeleteBucketPolicy, "-"),
        ("", "alice", Action::ListBucket, "-"),
    ] {
        let config = BucketConfig {
            policy: Some(policy.into()),
            acl: acl("public-read", "alice", "alice"),
            ..BucketConfig::default()
        };
        let bucket = bucket("alice", config);
        let target = Target::Bucket(&bucket, &Rules::of(&bucket));
        assert_eq!(sign(decide(&caller(who), what, target)), wanted, "{policy} {who} {what:?}");
    }
}

/// A public policy serves the owner alone where its bucket says so, and no policy gives what its author does not hold.
#[test]
fn what_a_policy_cannot_give() {
    let all = document(&[statement(r#""Allow" P:"*" A:"s3:*" R:["b","b/*"]"#)]);
    let bob = document(&[statement(r#""Allow" P:{"AWS":"bob"} A:"s3:*" R:["b","b/*"]"#)]);
    for (policy, restricts, who, owner, by, list, what, wanted) in [
        (&all, false, "anon", "alice", "alice", "-", Action::GetObject, "+"),
        (&all, true, "anon", "alice", "alice", "-", Action::GetObject, "-"),
        (&all, true, "bob", "alice", "alice", "-", Action::GetObject, "-"),
        (&all, true, "alice", "alice", "alice", "-", Action::GetObject, "+"),
        (&all, true, "boss/admin", "alice", "alice", "-", Action::GetObject, "+"),
        (&all, true, "root", "alice", "alice", "-", Action::GetObject, "+"),
        (&bob, true, "bob", "alice", "alice", "-", Action::GetObject, "+"),
        (&bob, true, "carol", "alice", "alice", "-", Action::GetObject, "-"),
        (&all, false, "carol", "alice", "bob", "-", Action::GetObject, "-"),
        (&all, false, "carol", "alice", "bob", "-", Action::DeleteObject, "+"),
        (&all, false, "carol", "alice", "bob", "alice:R", Action::GetObject, "+"),
        (&all, false, "carol", "root", "bob", "-", Action::GetObject, "+"),
        (&all, false, "anon", "alice", "anonymous", "-", Action::GetObject, "+"),
    ] {
        let public_access = PublicAccessBlock { restrict_buckets: restricts, ..PublicAccessBlock::default() };
        let bucket = bucket(
            owner,
            BucketConfig {
                policy: Some(policy.clone()),
                public_access: Some(public_access),
                ..BucketConfig::default()
            },
        );
        let (rules, key, object) = (Rules::of(&bucket), key("k"), object(by, acl(list, by, owner), vec![]));
        let target = Target::Object(&bucket, &rules, &key, Row::Is(&object));
        assert_eq!(sign(decide(&caller(who), what, target)), wanted, "{restricts} {who} {owner} {by} {list} {what:?}");
    }
}
