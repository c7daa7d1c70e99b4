//! Every operator, in every form, on what a request says of itself.
//!
//! **Invariant:** each row is asked a second time without the object, and is then answered alike or by `?`: no
//! condition on an object is decided before the object was looked up.

use super::*;

/// operator | key | values, as JSON | circumstances | answer of an `Allow` for everyone
const TABLE: &str = r#"
    StringEquals | aws:Referer | "a" | aws:referer=a | +
    StringEquals | aws:Referer | "a" | aws:referer=b | -
    StringEquals | aws:Referer | "a" | aws:referer=A | -
    StringEquals | aws:Referer | "a" | | -
    StringEquals | aws:Referer | ["a", "b"] | aws:referer=b | +
    StringEquals | aws:Referer | "a*" | aws:referer=ab | -
    StringEquals | aws:Referer | "a*" | aws:referer=a* | +
    StringEquals | AWS:REFERER | "a" | aws:referer=a | +
    stringequals | aws:Referer | "a" | aws:referer=a | +
    StringNotEquals | aws:Referer | "a" | aws:referer=b | +
    StringNotEquals | aws:Referer | "a" | aws:referer=a | -
    StringNotEquals | aws:Referer | ["a", "b"] | aws:referer=b | -
    StringNotEquals | aws:Referer | ["a", "b"] | aws:referer=c | +
    StringNotEquals | aws:Referer | "a" | | +
    StringEqualsIgnoreCase | aws:Referer | "aB" | aws:referer=Ab | +
    StringEqualsIgnoreCase | aws:Referer | "aB" | aws:referer=Ac | -
    StringEqualsIgnoreCase | aws:Referer | "aB" | | -
    StringNotEqualsIgnoreCase | aws:Referer | "aB" | aws:referer=Ab | -
    StringNotEqualsIgnoreCase | aws:Referer | "aB" | aws:referer=c | +
    StringLike | aws:Referer | "http://x/*" | aws:referer=http://x/y | +
    StringLike | aws:Referer | "http://x/*" | aws:referer=http://z/y | -
    StringLike | aws:Referer | "?b" | aws:referer=ab | +
    StringLike | aws:Referer | "?b" | aws:referer=b | -
    StringLike | aws:Referer | "*" | | -
    StringLike | aws:Referer | "${*}b" | aws:referer=*b | +
    StringLike | aws:Referer | "${*}b" | aws:referer=ab | -
    StringLike | aws:Referer | "${?}${$}" | aws:referer=?$ | +
    StringNotLike | aws:Referer | "http://x/*" | aws:referer=http://x/y | -
    StringNotLike | aws:Referer | "http://x/*" | aws:referer=http://z/y | +
    StringNotLike | aws:Referer | "http://x/*" | | +
    StringLikeIfExists | aws:Referer | "http://x/*" | | +
    StringLikeIfExists | aws:Referer | "http://x/*" | aws:referer=http://x/y | +
    StringLikeIfExists | aws:Referer | "http://x/*" | aws:referer=http://z/y | -
    StringEqualsIfExists | s3:x-amz-acl | "private" | | +
    StringEqualsIfExists | s3:x-amz-acl | "private" | s3:x-amz-acl=public-read | -
    StringNotEqualsIfExists | s3:x-amz-acl | "private" | | +
    StringEquals | s3:x-amz-acl | "private" | s3:x-amz-acl=private | +
    StringLike | s3:x-amz-acl | "public*" | s3:x-amz-acl=public-read | +
    StringLike | s3:x-amz-copy-source | "b/public/*" | s3:x-amz-copy-source=b/public/foo | +
    StringLike | s3:x-amz-copy-source | "b/public/*" | s3:x-amz-copy-source=b/private/foo | -
    StringEquals | s3:x-amz-metadata-directive | "COPY" | | -
    StringEquals | s3:x-amz-metadata-directive | "COPY" | s3:x-amz-metadata-directive=COPY | +
    StringEquals | s3:prefix | "" | s3:prefix= | +
    StringEquals | s3:prefix | "" | | -
    StringEquals | s3:prefix | ["home/", "x/"] | s3:prefix=home/ | +
    StringLike | s3:prefix | "home/*" | s3:prefix=home/a | +
    StringEquals | s3:delimiter | "/" | s3:delimiter=/ | +
    StringEquals | s3:VersionId | "v" | s3:versionid=v | +
    StringEquals | s3:authType | "REST-HEADER" | s3:authtype=REST-HEADER | +
    StringEquals | s3:signatureversion | "AWS4-HMAC-SHA256" | s3:signatureversion=AWS4-HMAC-SHA256 | +
    StringEquals | s3:object-lock-mode | "GOVERNANCE" | s3:object-lock-mode=GOVERNANCE | +
    StringEquals | aws:SourceArn | "arn:aws:s3:::b" | | -
    StringEquals | aws:SourceAccount | "1" | | -
    StringEquals | aws:username | "alice" | | -
    StringEquals | aws:userid | "anonymous" | | +
    StringEquals | aws:PrincipalType | "Anonymous" | | +
    StringEquals | s3:ResourceAccount | "alice" | | +
    Null | aws:PrincipalArn | true | | +
    Null | aws:Referer | "true" | | +
    Null | aws:Referer | "true" | aws:referer=a | -
    Null | aws:Referer | "false" | aws:referer=a | +
    Null | aws:Referer | false | | -
    Null | s3:x-amz-server-side-encryption | "true" | s3:x-amz-server-side-encryption=AES256 | -
    NumericEquals | s3:max-keys | "10" | s3:max-keys=10 | +
    NumericEquals | s3:max-keys | 10 | s3:max-keys=010 | +
    NumericEquals | s3:max-keys | 10 | s3:max-keys=ten | -
    NumericEquals | s3:max-keys | 10 | | -
    NumericNotEquals | s3:max-keys | 10 | s3:max-keys=11 | +
    NumericNotEquals | s3:max-keys | 10 | s3:max-keys=10 | -
    NumericNotEquals | s3:max-keys | 10 | s3:max-keys=ten | +
    NumericLessThan | s3:max-keys | 10 | s3:max-keys=9 | +
    NumericLessThan | s3:max-keys | 10 | s3:max-keys=10 | -
    NumericLessThanEquals | s3:max-keys | 10 | s3:max-keys=10 | +
    NumericLessThanEquals | s3:max-keys | 10 | s3:max-keys=11 | -
    NumericGreaterThan | s3:max-keys | 10 | s3:max-keys=11 | +
    NumericGreaterThan | s3:max-keys | 10 | s3:max-keys=10 | -
    NumericGreaterThan | s3:max-keys | 10 | s3:max-keys=NaN | -
    NumericGreaterThanEquals | s3:max-keys | 10 | s3:max-keys=10 | +
    NumericGreaterThanEquals | s3:max-keys | 10 | s3:max-keys=9.5 | -
    NumericLessThanIfExists | s3:max-keys | 10 | | +
    NumericLessThan | aws:EpochTime | 100 | at=99 | +
    NumericLessThan | aws:EpochTime | 100 | at=100 | -
    DateEquals | aws:CurrentTime | "1970-01-01T00:01:40Z" | at=100 | +
    DateEquals | aws:CurrentTime | "1970-01-01T01:01:40+01:00" | at=100 | +
    DateEquals | aws:CurrentTime | "100" | at=100 | +
    DateEquals | aws:CurrentTime | "1970-01-02" | at=86400 | +
    DateNotEquals | aws:CurrentTime | "1970-01-02" | at=86400 | -
    DateNotEquals | aws:CurrentTime | "1970-01-02" | at=86401 | +
    DateLessThan | aws:CurrentTime | "1970-01-02" | at=86399 | +
    DateLessThan | aws:CurrentTime | "1970-01-02" | at=86400 | -
    DateLessThanEquals | aws:CurrentTime | "1970-01-02" | at=86400 | +
    DateLessThanEquals | aws:CurrentTime | "1970-01-02" | at=86401 | -
    DateGreaterThan | aws:CurrentTime | "1970-01-02" | at=86401 | +
    DateGreaterThan | aws:CurrentTime | "1970-01-02" | at=86400 | -
    DateGreaterThanEquals | aws:CurrentTime | "1970-01-02T00:00:00Z" | at=86400 | +
    DateGreaterThanEquals | aws:EpochTime | "1970-01-02T00:00:00Z" | at=86399 | -
    DateGreaterThan | aws:CurrentTime | "2020-01-01T00:00:00Z" | | +
    Bool | aws:SecureTransport | "true" | secure | +
    Bool | aws:SecureTransport | "true" | ip=10.0.0.1 | -
    Bool | aws:SecureTransport | "false" | ip=10.0.0.1 | +
    Bool | aws:SecureTransport | false | ip=10.0.0.1 | +
    Bool | aws:MultiFactorAuthPresent | "true" | | -
    BoolIfExists | aws:MultiFactorAuthPresent | "true" | | +
    IpAddress | aws:SourceIp | "10.0.0.0/8" | ip=10.1.2.3 | +
    IpAddress | aws:SourceIp | "10.0.0.0/8" | ip=11.1.2.3 | -
    IpAddress | aws:SourceIp | "10.0.0.0/8" | ip=::ffff:10.1.2.3 | +
    IpAddress | aws:SourceIp | "10.0.0.0/8" | | -
    IpAddress | aws:SourceIp | "10.0.0.0/8" | ip=2001:db8::1 | -
    IpAddress | aws:SourceIp | ["10.0.0.0/8", "2001:db8::/32"] | ip=2001:db8::1 | +
    IpAddress | aws:SourceIp | "10.0.0.1" | ip=10.0.0.1 | +
    IpAddress | aws:SourceIp | "::1/128" | ip=::1 | +
    NotIpAddress | aws:SourceIp | "10.0.0.0/8" | ip=10.1.2.3 | -
    NotIpAddress | aws:SourceIp | "10.0.0.0/8" | ip=11.1.2.3 | +
    NotIpAddress | aws:SourceIp | "10.0.0.0/8" | | +
    NotIpAddress | aws:SourceIp | ["10.0.0.0/8", "11.0.0.0/8"] | ip=11.1.2.3 | -
    ArnEquals | aws:SourceArn | "arn:aws:s3:::b" | aws:sourcearn=arn:aws:s3:::b | +
    ArnLike | aws:SourceArn | "arn:aws:s3:::*" | aws:sourcearn=arn:aws:s3:::b | +
    ArnLike | aws:SourceArn | "arn:aws:sns:::*" | aws:sourcearn=arn:aws:s3:::b | -
    ArnNotEquals | aws:SourceArn | "arn:aws:s3:::b" | aws:sourcearn=arn:aws:s3:::b | -
    ArnNotLike | aws:SourceArn | "arn:aws:s3:::*" | aws:sourcearn=arn:aws:sns:::b | +
    ArnNotLike | aws:SourceArn | "arn:aws:s3:::*" | | +
    ArnLikeIfExists | aws:SourceArn | "arn:aws:s3:::*" | | +
    BinaryEquals | s3:x-amz-meta-a | "YQ==" | s3:x-amz-meta-a=YQ== | +
    BinaryEquals | s3:x-amz-meta-a | "YQ==" | s3:x-amz-meta-a=Yg== | -
    BinaryEquals | s3:x-amz-meta-a | "YQ==" | s3:x-amz-meta-a=% | -
    # Keys with many values.
    ForAnyValue:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:b=1; new:c=1 | +
    ForAnyValue:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:c=1 | -
    ForAnyValue:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | | -
    ForAnyValue:StringNotEquals | s3:RequestObjectTagKeys | ["a"] | new:a=1; new:c=1 | +
    ForAnyValue:StringNotEquals | s3:RequestObjectTagKeys | ["a"] | new:a=1 | -
    ForAnyValue:StringLike | s3:RequestObjectTagKeys | ["a*"] | new:a=1b | +
    ForAllValues:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:b=1; new:a=1 | +
    ForAllValues:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:b=1; new:c=1 | -
    ForAllValues:StringEquals | s3:RequestObjectTagKeys | ["a", "b"] | | +
    ForAllValues:StringNotEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:c=1 | +
    ForAllValues:StringNotEquals | s3:RequestObjectTagKeys | ["a", "b"] | new:c=1; new:a=1 | -
    ForAllValues:StringLike | s3:RequestObjectTagKeys | ["a*"] | new:a=1b; new:a=1c | +
    foranyvalue:stringequals | s3:RequestObjectTagKeys | "a" | new:a=1 | +
    StringEquals | s3:RequestObjectTagKeys | "a" | new:b=1; new:a=1 | +
    StringNotEquals | s3:RequestObjectTagKeys | "a" | new:b=1; new:a=1 | -
    # Tags.
    StringEquals | s3:RequestObjectTag/Security | "public" | new:security=public | +
    StringEquals | s3:RequestObjectTag/security | "public" | new:Security=public; new:security=private | -
    StringEquals | s3:RequestObjectTag/security | "public" | | -
    StringEquals | s3:ExistingObjectTag/security | "public" | tag:security=public | +
    StringEquals | s3:ExistingObjectTag/security | "public" | tag:security=private | -
    StringEquals | s3:ExistingObjectTag/security | "public" | tag:security1=public | -
    StringEquals | s3:ExistingObjectTag/security | "public" | | -
    StringEquals | s3:ExistingObjectTag/Security | "public" | tag:security=public | +
    StringEquals | s3:ExistingObjectTag/Security | "public" | tag:security=public; tag:Security=private | -
    StringNotEquals | s3:ExistingObjectTag/security | "public" | | +
    Null | s3:ExistingObjectTag/security | "true" | | +
    # Variables.
    StringEquals | aws:Referer | "${s3:prefix}" | aws:referer=a; s3:prefix=a | +
    StringEquals | aws:Referer | "${s3:prefix}" | aws:referer=a; s3:prefix=b | -
    StringEquals | aws:Referer | "${s3:prefix}" | aws:referer=a | -
    StringNotEquals | aws:Referer | "${s3:prefix}" | aws:referer=a | -
    StringEquals | aws:Referer | "${s3:prefix, 'a'}" | aws:referer=a | +
    StringLike | aws:Referer | "${s3:prefix}" | aws:referer=ab; s3:prefix=a* | -
    StringLike | aws:Referer | "${s3:prefix}*" | aws:referer=ab; s3:prefix=a | +
    StringEquals | aws:Referer | "${s3:ExistingObjectTag/a}" | aws:referer=1; tag:a=1 | +
"#;

#[test]
fn operators() {
    let mut wrong = vec![];
    for row in rows(TABLE) {
        let [operator, name, values, circumstances, wanted] = row[..] else { panic!("{row:?}") };
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
            "Resource":"arn:aws:s3:::b/*","Condition":{{"{operator}":{{"{name}":{values}}}}}}}]}}"#
        );
        let (context, tags) = context(circumstances);
        let bucket = bucket("alice", BucketConfig { policy: Some(policy), ..BucketConfig::default() });
        let (rules, key) = (Rules::of(&bucket), key("k"));
        let object = object("alice", None, tags);
        let caller = Caller::ANONYMOUS.in_context(context);
        let target = |row| Target::Object(&bucket, &rules, &key, row);
        if sign(decide(&caller, Action::GetObject, target(Row::Is(&object)))) != wanted {
            wrong.push(row.join(" | "));
        }
        // Without the object nothing may be said that the object could change.
        let unseen = sign(decide(&caller, Action::GetObject, target(Row::Unknown)));
        assert!(unseen == "?" || unseen == wanted, "{}", row.join(" | "));
    }
    assert!(wrong.is_empty(), "decided otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn all_operators_and_all_keys_must_hold() {
    let allowed = |condition: &str, circumstances: &str| {
        let policy = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b",
            "Condition":{condition}}}}}"#
        );
        let bucket = bucket("alice", BucketConfig { policy: Some(policy), ..BucketConfig::default() });
        let caller = Caller::ANONYMOUS.in_context(context(circumstances).0);
        sign(decide(&caller, Action::ListBucket, Target::Bucket(&bucket, &Rules::of(&bucket)))) == "+"
    };
    let two = r#"{"StringEquals":{"s3:prefix":"a","s3:delimiter":"/"},"NumericLessThan":{"s3:max-keys":10}}"#;
    assert!(allowed(two, "s3:prefix=a; s3:delimiter=/; s3:max-keys=9"));
    assert!(!allowed(two, "s3:prefix=b; s3:delimiter=/; s3:max-keys=9"));
    assert!(!allowed(two, "s3:prefix=a; s3:delimiter=-; s3:max-keys=9"));
    assert!(!allowed(two, "s3:prefix=a; s3:delimiter=/; s3:max-keys=10"));
    assert!(allowed("{}", ""));
}

#[test]
fn a_command_has_no_address() {
    // Where nothing is known of the request, its keys are not there.
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b",
        "Condition":{"Null":{"aws:SecureTransport":"true","aws:SourceIp":"true"}}}}"#;
    let bucket = bucket("alice", BucketConfig { policy: Some(policy.into()), ..BucketConfig::default() });
    assert_eq!(sign(decide(&Caller::ANONYMOUS, Action::ListBucket, Target::Bucket(&bucket, &Rules::of(&bucket)))), "+");
}
