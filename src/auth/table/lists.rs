//! Access control lists, owners, ownership, the block of public access, and the policies that are built in.
//!
//! **Invariant:** of each permission on a bucket there is a row that shows what it gives and one that shows what it
//! does not. A new action that lists may give gets both.

use super::*;

/// caller | action | owner of the bucket | its list | ownership, block (i: ignores lists, r: restricts), public (p) |
/// the object: `b` the bucket itself, `?` not looked up, `0` none, or its owner and its list | answer
const TABLE: &str = "
    # The administrator, and those who are.
    root        | DeleteObject  | x     | - | - | x - | +
    root        | longshore:Administer | x | - | - | b | +
    boss/admin  | DeleteObject  | x     | - | - | x - | +
    boss/admin  | GetObject     | x     | - | - | y - | +
    boss/admin  | GetObject     | x     | - | - | ? | +
    boss/admin  | longshore:Administer | x | - | - | b | +
    alice       | longshore:Administer | alice | - | - | b | -
    alice       | longshore:Administer | root | - | - | b | -
    anon        | longshore:Administer | root | public-read-write | - | b | -
    # A user's policy counts on its own buckets and on root's.
    alice       | GetObject     | alice | - | - | alice - | +
    alice       | PutObject     | alice | - | - | ? | +
    alice       | DeleteObject  | alice | - | - | ? | +
    alice       | ListBucket    | alice | - | - | b | +
    alice       | PutBucketAcl  | alice | - | - | b | +
    alice       | PutBucketPolicy | alice | - | - | b | +
    alice       | DeleteBucket  | alice | - | - | b | +
    alice       | GetObject     | root  | - | - | ? | +
    alice       | GetObject     | root  | - | - | bob - | +
    alice       | GetObjectAcl  | root  | - | - | bob - | +
    alice       | PutObject     | root  | - | - | ? | +
    alice       | DeleteBucket  | root  | - | - | b | +
    alice       | GetObject     | bob   | - | - | bob - | -
    alice       | PutObject     | bob   | - | - | ? | -
    alice       | DeleteObject  | bob   | - | - | bob - | -
    alice       | ListBucket    | bob   | - | - | b | -
    alice       | ListBucketVersions | bob | - | - | b | -
    alice       | GetBucketAcl  | bob   | - | - | b | -
    alice       | GetBucketPolicy | bob | - | - | b | -
    alice       | AbortMultipartUpload | bob | - | - | ? | -
    alice       | ListMultipartUploadParts | bob | - | - | ? | -
    alice       | GetObjectTagging | bob | - | - | bob - | -
    alice       | GetObjectTagging | bob | public-read | - | bob public-read | -
    c/readonly  | GetObject     | root  | - | - | ? | +
    c/readonly  | GetObjectVersion | root | - | - | ? | +
    c/readonly  | ListBucket    | root  | - | - | b | +
    c/readonly  | PutObject     | root  | - | - | ? | -
    c/readonly  | DeleteObject  | c     | - | - | c - | -
    c/readonly  | GetObject     | c     | - | - | c - | +
    c/readonly  | PutObject     | c     | private | - | ? | -
    c/readonly  | PutBucketAcl  | c     | private | - | b | -
    c/readonly  | PutObjectAcl  | c     | - | - | c private | -
    c/readonly  | PutObjectAcl  | root  | - | - | c - | -
    c/readonly  | PutObjectAcl  | root  | - | - | c private | -
    c/nonsense  | GetObject     | root  | - | p | root - | -
    c/nonsense  | GetObject     | x     | - | - | x public-read | -
    # Nobody in particular.
    anon        | GetObject     | root  | - | - | root - | -
    anon        | GetObject     | root  | - | - | 0 | -
    anon        | GetObject     | root  | - | - | ? | ?
    anon        | GetObject     | root  | - | p | root - | +
    anon        | GetObject     | root  | - | p | ? | +
    anon        | GetObject     | alice | - | p | bob - | +
    anon        | GetObjectVersion | root | - | p | root - | -
    anon        | ListBucket    | root  | - | p | b | -
    anon        | PutObject     | root  | - | p | ? | -
    anon        | DeleteObject  | root  | - | p | ? | -
    anon        | GetObjectAcl  | root  | - | p | root - | -
    anon        | GetObject     | root  | - | pr | root - | -
    alice       | GetObject     | alice | - | pr | alice - | +
    anon        | GetObject     | alice | - | - | anonymous - | -
    alice       | GetObject     | alice | - | - | anonymous - | +
    # The list of a bucket.
    bob         | ListBucket    | alice | public-read | - | b | +
    bob         | ListBucketVersions | alice | public-read | - | b | +
    bob         | ListBucketMultipartUploads | alice | public-read | - | b | +
    anon        | ListBucket    | alice | public-read | - | b | +
    anon        | PutObject     | alice | public-read | - | ? | -
    anon        | GetBucketAcl  | alice | public-read | - | b | -
    anon        | GetObject     | alice | public-read | - | alice - | -
    anon        | GetObject     | alice | public-read | - | 0 | -
    anon        | ListBucket    | alice | authenticated-read | - | b | -
    bob         | ListBucket    | alice | authenticated-read | - | b | +
    bob         | PutObject     | alice | public-read-write | - | ? | +
    anon        | PutObject     | alice | public-read-write | - | ? | +
    bob         | DeleteObject  | alice | public-read-write | - | alice private | +
    bob         | DeleteObjectVersion | alice | public-read-write | - | alice private | -
    bob         | GetObject     | alice | public-read-write | - | alice private | -
    bob         | GetObject     | alice | public-read-write | - | bob - | +
    bob         | PutBucketAcl  | alice | public-read-write | - | b | -
    bob         | DeleteBucket  | alice | public-read-write | - | b | -
    bob         | PutBucketPolicy | alice | bob:F | - | b | -
    bob         | ListBucket    | alice | bob:R | - | b | +
    bob         | PutObject     | alice | bob:R | - | ? | -
    bob         | GetBucketAcl  | alice | bob:R | - | b | -
    bob         | PutObject     | alice | bob:W | - | ? | +
    bob         | ListBucket    | alice | bob:W | - | b | -
    bob         | AbortMultipartUpload | alice | bob:W | - | ? | +
    bob         | GetBucketAcl  | alice | bob:RA | - | b | +
    bob         | PutBucketAcl  | alice | bob:RA | - | b | -
    bob         | PutBucketAcl  | alice | bob:WA | - | b | +
    bob         | GetBucketAcl  | alice | bob:WA | - | b | -
    bob         | ListBucket    | alice | bob:F | - | b | +
    bob         | PutObject     | alice | bob:F | - | ? | +
    bob         | GetBucketAcl  | alice | bob:F | - | b | +
    bob         | PutBucketAcl  | alice | bob:F | - | b | +
    bob         | GetObject     | alice | bob:F | - | alice - | -
    carol       | ListBucket    | alice | bob:F | - | b | -
    anon        | ListBucket    | alice | anonymous:F | - | b | -
    bob         | PutObject     | alice | log-delivery-write | - | ? | -
    alice       | PutObject     | alice | none | - | ? | +
    alice       | GetBucketAcl  | alice | none | - | b | +
    bob         | ListBucket    | alice | public-read | E | b | -
    bob         | PutObject     | alice | public-read-write | E | ? | -
    bob         | ListBucket    | alice | bob:F | E | b | -
    bob         | ListBucket    | alice | public-read | P | b | +
    bob         | ListBucket    | alice | public-read | W | b | +
    bob         | ListBucket    | alice | public-read | i | b | -
    bob         | ListBucket    | alice | authenticated-read | i | b | -
    bob         | ListBucket    | alice | bob:F | i | b | +
    bob         | PutObject     | alice | bob:W all:W | i | ? | +
    alice       | ListBucket    | alice | public-read | Ei | b | +
    bob         | ListBucket    | alice | public-read | r | b | +
    bob         | PutObject     | root  | bob:R | - | ? | +
    c/readonly  | PutObject     | root  | c:W | - | ? | +
    # The list of an object.
    bob         | GetObject     | alice | - | - | ? | ?
    bob         | GetObject     | alice | - | - | 0 | -
    bob         | GetObject     | alice | - | - | alice - | -
    bob         | GetObject     | alice | - | - | alice public-read | +
    bob         | GetObjectAttributes | alice | - | - | alice public-read | +
    bob         | GetObjectVersion | alice | - | - | alice public-read | +
    anon        | GetObject     | alice | - | - | alice public-read | +
    anon        | GetObjectAcl  | alice | - | - | alice public-read | -
    anon        | PutObject     | alice | - | - | alice public-read-write | -
    anon        | DeleteObject  | alice | - | - | alice public-read-write | -
    anon        | GetObject     | alice | - | - | alice authenticated-read | -
    bob         | GetObject     | alice | - | - | alice authenticated-read | +
    bob         | GetObject     | alice | - | - | alice bob:R | +
    bob         | GetObjectAcl  | alice | - | - | alice bob:R | -
    bob         | GetObjectAcl  | alice | - | - | alice bob:RA | +
    bob         | GetObject     | alice | - | - | alice bob:RA | -
    bob         | PutObjectAcl  | alice | - | - | alice bob:WA | +
    bob         | PutObjectAcl  | alice | - | - | alice bob:R | -
    bob         | GetObject     | alice | - | - | alice bob:F | +
    bob         | PutObjectAcl  | alice | - | - | alice bob:F | +
    bob         | DeleteObject  | alice | - | - | alice bob:F | -
    bob         | GetObject     | alice | - | E | alice public-read | -
    bob         | GetObject     | alice | - | E | ? | -
    bob         | GetObject     | alice | - | i | alice public-read | -
    bob         | GetObject     | alice | - | i | alice bob:R | +
    bob         | GetObject     | alice | - | r | alice public-read | +
    anon        | GetObject     | alice | - | P | alice public-read | +
    # An object that somebody else owns in one's bucket.
    alice       | GetObject     | alice | - | - | ? | ?
    alice       | GetObject     | alice | - | - | 0 | +
    alice       | GetObject     | alice | - | - | bob - | -
    alice       | GetObject     | alice | - | - | bob private | -
    alice       | GetObjectAcl  | alice | - | - | bob - | -
    alice       | PutObjectAcl  | alice | - | - | bob - | -
    alice       | GetObject     | alice | - | - | bob bucket-owner-read | +
    alice       | GetObjectAcl  | alice | - | - | bob bucket-owner-read | -
    alice       | GetObjectAcl  | alice | - | - | bob bucket-owner-full-control | +
    alice       | PutObjectAcl  | alice | - | - | bob bucket-owner-full-control | +
    alice       | GetObject     | alice | - | - | bob public-read | +
    alice       | DeleteObject  | alice | - | - | bob - | +
    alice       | PutObject     | alice | - | - | bob - | +
    alice       | GetObjectTagging | alice | - | - | bob - | +
    alice       | GetObject     | alice | - | E | bob - | +
    alice       | GetObject     | alice | - | E | ? | +
    alice       | GetObject     | alice | - | P | bob - | -
    alice       | GetObject     | alice | - | W | bob - | -
    alice       | GetObject     | alice | - | i | bob public-read | -
    alice       | GetObject     | alice | - | - | root - | +
    c/readonly  | PutObjectAcl  | c     | - | - | bob c:F | -
    bob         | GetObject     | alice | - | - | bob - | +
    bob         | GetObject     | alice | - | - | bob none | -
    bob         | GetObjectAcl  | alice | - | - | bob none | +
    bob         | PutObjectAcl  | alice | - | - | bob none | +
    bob         | DeleteObject  | alice | - | - | bob - | -
    bob         | GetObject     | alice | - | E | bob - | -
    root        | GetObject     | alice | - | - | bob private | +
    # Every other setting of a bucket is its owner's alone.
    bob         | PutBucketVersioning | alice | bob:F | - | b | -
    bob         | GetBucketLocation | alice | bob:F | - | b | -
    bob         | GetLifecycleConfiguration | alice | bob:F | - | b | -
    bob         | PutBucketPublicAccessBlock | alice | bob:F | - | b | -
    bob         | PutBucketOwnershipControls | alice | bob:F | - | b | -
    bob         | BypassGovernanceRetention | alice | bob:F | - | alice bob:F | -
    bob         | PutObjectRetention | alice | bob:F | - | alice bob:F | -
";

#[test]
fn lists_owners_and_switches() {
    let mut wrong = vec![];
    for row in rows(TABLE) {
        let [who, what, owner, list, switches, about, wanted] = row[..] else { panic!("{row:?}") };
        let config = BucketConfig {
            acl: acl(list, owner, owner),
            ownership: switches.chars().find_map(|c| match c {
                'E' => Some(Ownership::BucketOwnerEnforced),
                'P' => Some(Ownership::BucketOwnerPreferred),
                'W' => Some(Ownership::ObjectWriter),
                _ => None,
            }),
            public_access: Some(PublicAccessBlock {
                ignore_acls: switches.contains('i'),
                restrict_buckets: switches.contains('r'),
                ..PublicAccessBlock::default()
            }),
            ..BucketConfig::default()
        };
        let mut bucket = bucket(owner, config);
        bucket.settings.public = switches.contains('p');
        let rules = Rules::of(&bucket);
        let key = key("k");
        let found = about.split_once(' ').map(|(by, list)| object(by, acl(list, by, owner), vec![]));
        let target = match about {
            "b" => Target::Bucket(&bucket, &rules),
            "?" => Target::Object(&bucket, &rules, &key, Row::Unknown),
            "0" => Target::Object(&bucket, &rules, &key, Row::Missing),
            _ => Target::Object(&bucket, &rules, &key, Row::Is(found.as_ref().expect("an object"))),
        };
        if sign(decide(&caller(who), action(what), target)) != wanted {
            wrong.push(row.join(" | "));
        }
    }
    assert!(wrong.is_empty(), "decided otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn the_service_is_for_users_with_a_policy() {
    let name = BucketName::new("b").expect("legal");
    for (who, what, wanted) in [
        ("root", "longshore:Administer", "+"),
        ("boss/admin", "longshore:Administer", "+"),
        ("alice", "longshore:Administer", "-"),
        ("c/readonly", "longshore:Administer", "-"),
        ("anon", "longshore:Administer", "-"),
        ("alice", "ListAllMyBuckets", "+"),
        ("c/readonly", "ListAllMyBuckets", "+"),
        ("anon", "ListAllMyBuckets", "-"),
        ("c/nonsense", "ListAllMyBuckets", "-"),
    ] {
        assert_eq!(sign(decide(&caller(who), action(what), Target::Service)), wanted, "{who} {what}");
    }
    for (who, wanted) in [("alice", "+"), ("c/readonly", "-"), ("anon", "-"), ("root", "+")] {
        assert_eq!(sign(decide(&caller(who), Action::CreateBucket, Target::NewBucket(&name))), wanted, "{who}");
    }
}
