//! Which documents are understood, which are taken for a bucket, and which are public.
//!
//! **Invariant:** what is not evaluated makes the whole document refused, so no half of a `Deny` counts. What is
//! understood from now on leaves the lists of refusals here and gets rows in the tables of what it decides.

use super::*;
use crate::auth::decide::{Source, explain};
use crate::auth::policy::{compile, compile_bucket, is_public, validate_bucket_policy};

/// A policy of a bucket with one statement, of these elements beside its effect.
fn one(elements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{elements}}}]}}"#)
}

const GET: &str = r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#;

#[test]
fn what_is_not_evaluated_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "\"admi\"",
        r#"{"Statement":[]}"#,
        r#"{"Statement":{"Effect":"Maybe","Action":"s3:*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"allow","Action":"s3:*","Resource":"*"}}"#,
        r#"{"Statement":{"Action":"s3:*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":[]}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Else":1}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}"}}"#,
        r#"{"Version":"1","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
        r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"getobject","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"bucket/*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":7,"Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":{"a":"s3:*"},"Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}} x"#,
    ] {
        assert!(compile(text).is_err(), "{text}");
    }
    let with = |condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{condition}}}}}"#
        )
    };
    for condition in [
        r#"{"StringMatches":{"aws:Referer":"a"}}"#,
        r#"{"ForSomeValues:StringEquals":{"aws:Referer":"a"}}"#,
        r#"{"StringEquals":{"aws:Referer":[]}}"#,
        r#"{"StringEquals":{"aws:Referer":{"a":"b"}}}"#,
        r#"{"StringEquals":{"referer":"a"}}"#,
        r#"{"StringEquals":{"s3:signatureAge":"a"}}"#,
        r#"{"StringEquals":{"s3:ExistingObjectTag/":"a"}}"#,
        r#"{"StringEquals":{"aws:Referer":"a"},"StringEquals":{"aws:Referer":"b"}}"#,
        r#"{"StringEquals":{"aws:Referer":"a","aws:referer":"b"}}"#,
        r#"{"StringEquals":{"aws:Referer":"${aws:username"}}"#,
        r#"{"StringEquals":{"aws:Referer":"${nothing}"}}"#,
        r#"{"NumericEquals":{"s3:max-keys":"ten"}}"#,
        r#"{"NumericEquals":{"s3:max-keys":"inf"}}"#,
        r#"{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}"#,
        r#"{"Bool":{"aws:SecureTransport":"yes"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":"localhost"}}"#,
        r#"{"BinaryEquals":{"aws:Referer":"%"}}"#,
        r#"{"Null":{"aws:Referer":"maybe"}}"#,
        r#"{"Null":{"aws:Referer":["true","false"]}}"#,
        r#"{"NullIfExists":{"aws:Referer":"true"}}"#,
        r#"{"ForAnyValue:Null":{"aws:Referer":"true"}}"#,
        r#"{"StringEquals":"a"}"#,
        r#"["a"]"#,
    ] {
        assert!(compile(&with(condition)).is_err(), "{condition}");
    }
    for text in ["readonly", "readwrite", "admin", &with("{}"), &with(r#"{"Bool":{"aws:SecureTransport":false}}"#)] {
        assert!(compile(text).is_ok(), "{text}");
    }
}

#[test]
fn bombs_are_refused() {
    let deep = format!(r#"{{"Statement":{}1{}}}"#, "[".repeat(9000), "]".repeat(9000));
    let nested = format!(r#"{{"Statement":{}1{}}}"#, r#"{"Condition":"#.repeat(1000), "}".repeat(1000));
    let long = one(&format!(r#""Principal":"*",{GET},"Sid":"{}""#, "s".repeat(20 * 1024)));
    for text in [deep, nested, long] {
        assert!(compile(&text).is_err());
        assert!(compile_bucket(&text).is_err());
    }
    // As many stars as fit are matched in no time to speak of.
    let stars =
        one(&format!(r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/{}""#, "*a".repeat(9000)));
    let bucket = bucket("alice", BucketConfig { policy: Some(stars.clone()), ..BucketConfig::default() });
    let (rules, long) = (Rules::of(&bucket), key(&"a".repeat(1024)));
    let target = Target::Object(&bucket, &rules, &long, Row::Missing);
    assert_eq!(sign(decide(&Caller::ANONYMOUS, Action::GetObject, target)), "-");
    assert!(validate_bucket_policy(&stars, &bucket.name).is_ok());
}

#[test]
fn what_is_taken_for_a_bucket() {
    let bucket = BucketName::new("b").expect("legal");
    for (elements, taken) in [
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, true),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::c/*""#, false),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*","arn:aws:s3:::c/*"]"#, false),
        (r#""Principal":"*","Action":"s3:GetObject","NotResource":"arn:aws:s3:::c/*""#, false),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bb/*""#, false),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::*/*""#, true),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"*""#, true),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b""#, true),
        (r#""Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b""#, true),
        (r#""Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::*""#, true),
        (r#""Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":"*","Action":"s3:ListBucket","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]"#, true),
        (r#""Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*""#, true),
        (r#""Principal":"*","Action":"*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]"#, true),
        (r#""Principal":"*","Action":"s3:GetObjekt","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":"*","Action":"s3:Foo*","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":"*","Action":"s3:ReplicateObject","Resource":"arn:aws:s3:::b/*""#, true),
        (r#""Principal":"*","Action":"iam:*","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":"*","Action":"longshore:Administer","Resource":"arn:aws:s3:::b""#, false),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"b/*""#, false),
        (r#""Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:iam:::b/*""#, false),
        (r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""NotPrincipal":{"AWS":"arn:aws:iam::x:root"},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::b""#, false),
        (r#""Principal":"bob","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (
            r#""Principal":{"AWS":"arn:aws:iam::s3tenant1:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#,
            true,
        ),
        (r#""Principal":{"AWS":"arn:aws:iam::1:role/x"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":"arn:aws:iam::1:user/*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":"role:x"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, true),
        (r#""Principal":{"AWS":"sub:x"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, true),
        (r#""Principal":{"AWS":"role:"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":"role:*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":"group:x"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":[]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"AWS":""},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (r#""Principal":{"Federated":"x"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
        (
            r#""Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*""#,
            true,
        ),
        (r#""Principal":{},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#, false),
    ] {
        let taken_now = validate_bucket_policy(&one(elements), &bucket);
        assert_eq!(taken_now.is_ok(), taken, "{elements} {taken_now:?}");
    }
}

#[test]
fn which_policies_are_public() {
    let who = |principal: &str| one(&format!(r#""Principal":{principal},{GET}"#));
    let when = |condition: &str| one(&format!(r#""Principal":"*",{GET},"Condition":{{{condition}}}"#));
    for (text, public) in [
        (who(r#""*""#), true),
        (who(r#"{"AWS":"*"}"#), true),
        (who(r#"{"AWS":["bob","*"]}"#), true),
        (who(r#"{"AWS":"bob"}"#), false),
        (who(r#"{"AWS":"arn:aws:iam::s3tenant1:root"}"#), false),
        (who(r#"{"Service":"logging.s3.amazonaws.com"}"#), false),
        (who(r#""*""#).replace("Allow", "Deny"), false),
        (when(r#""IpAddress":{"aws:SourceIp":"10.0.0.0/32"}"#), false),
        (when(r#""IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}"#), false),
        (when(r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#), true),
        (when(r#""IpAddress":{"aws:SourceIp":["10.0.0.0/8","::/0"]}"#), true),
        (when(r#""NotIpAddress":{"aws:SourceIp":"10.0.0.0/32"}"#), true),
        (when(r#""IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/32"}"#), true),
        (when(r#""StringEquals":{"aws:SourceVpc":"vpc-1"}"#), false),
        (when(r#""StringLike":{"aws:SourceVpc":"vpc-*"}"#), true),
        (when(r#""StringEquals":{"aws:PrincipalOrgID":"o-1"}"#), false),
        (when(r#""StringEquals":{"aws:SourceAccount":"1"}"#), false),
        (when(r#""StringNotEquals":{"aws:SourceAccount":"1"}"#), true),
        (when(r#""ArnLike":{"aws:SourceArn":"arn:aws:s3:::b"}"#), false),
        (when(r#""ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}"#), true),
        (when(r#""StringEquals":{"aws:userid":"${aws:userid}"}"#), true),
        (when(r#""ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-1"}"#), true),
        (when(r#""StringEquals":{"aws:Referer":"http://x/"}"#), true),
        (when(r#""StringEquals":{"s3:ExistingObjectTag/a":"b"}"#), true),
        (when(r#""Bool":{"aws:SecureTransport":"true"}"#), true),
    ] {
        assert_eq!(is_public(&compile_bucket(&text).expect("understood")), public, "{text}");
    }
}

#[test]
fn a_decision_names_what_decided() {
    let policy = r#"{"Statement":[{"Sid":"first","Effect":"Allow","Principal":"*","Action":"s3:ListBucket",
        "Resource":"arn:aws:s3:::b"},{"Sid":"second","Effect":"Deny","Principal":{"AWS":"bob"},"Action":"s3:*",
        "Resource":"arn:aws:s3:::b"}]}"#;
    let bucket = bucket("alice", BucketConfig { policy: Some(policy.into()), ..BucketConfig::default() });
    let rules = Rules::of(&bucket);
    let sid = |text: &str| Some(text.to_owned());
    for (who, wanted) in [
        ("root", Source::Root),
        ("alice", Source::UserPolicy { sid: None, index: 0 }),
        ("anon", Source::BucketPolicy { sid: sid("first"), index: 0 }),
        ("bob", Source::BucketPolicy { sid: sid("second"), index: 1 }),
        ("x/nonsense", Source::UnreadableUserPolicy),
    ] {
        assert_eq!(explain(&caller(who), Action::ListBucket, Target::Bucket(&bucket, &rules)).source, wanted, "{who}");
    }
    let (key, theirs) = (key("k"), object("bob", None, vec![]));
    let of = |who: &str| {
        explain(&caller(who), Action::GetObject, Target::Object(&bucket, &rules, &key, Row::Is(&theirs))).source
    };
    assert_eq!((of("alice"), of("bob"), of("carol")), (Source::AnotherOwner, Source::ObjectOwner, Source::Nothing));
}
