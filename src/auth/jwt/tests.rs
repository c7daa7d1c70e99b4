//! Which tokens count, as a table of those that must not.
//!
//! **Invariant:** each token is refused for the reason that stands beside it, so one that fails for another reason than
//! the one it was made for is seen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const SECRET: &str = "a-secret-of-tests-that-is-long-enough-0001";

/// The example keys of RFC 7517, A.1 (EC) with its private part of A.2 left out, and of RFC 7515, A.2 and A.3.
const SET: &str = r#"{"keys":[
  {"kty":"RSA","kid":"r1","alg":"RS256","use":"sig","e":"AQAB",
   "n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
  {"kty":"EC","crv":"P-256","kid":"e1",
   "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
  {"kty":"oct","kid":"o1","k":"YS1zZWNvbmQtc2VjcmV0LW9mLXRlc3RzLXRoYXQtaXMtbG9uZw"},
  {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn rules(require_exp: bool) -> TokenRules {
    TokenRules {
        secret: Secret::new(SECRET),
        algorithms: Algorithm::ALL.to_vec(),
        roles: ["anon", "authenticated", "service_role"].map(str::to_owned).to_vec(),
        require_exp,
        issuers: Vec::new(),
        audiences: Vec::new(),
    }
}

fn tokens(require_exp: bool) -> Tokens {
    let tokens = Tokens::new(rules(require_exp));
    tokens.set_keys(KeySet::parse(SET, true).expect("a set"));
    tokens
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).expect("signs");
    format!("{text}.{signature}")
}

fn later() -> i64 {
    Clock::now().seconds() + 60
}

#[test]
fn a_token_of_the_secret_makes_its_caller() {
    let claims = json!({"role": "authenticated", "sub": "u1", "exp": later(), "app": {"x": 1}});
    let text = signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET.as_bytes());
    let token = tokens(true).caller(&text).expect("counts");
    assert_eq!((token.role(), token.subject()), ("authenticated", Some("u1")));
    assert_eq!(token.claims()["app"]["x"], 1);
    let text = signed(&json!({"alg": "HS256"}), &json!({"exp": later()}), SECRET.as_bytes());
    assert_eq!(tokens(true).caller(&text).expect("counts").role(), "anon");
    // By the name of another secret.
    let text = signed(&json!({"alg": "HS256", "kid": "o1"}), &claims, b"a-second-secret-of-tests-that-is-long");
    assert!(tokens(true).caller(&text).is_ok());
}

#[test]
fn what_must_not_count_does_not() {
    let good = json!({"role": "service_role", "exp": later()});
    let with = |header: Value, claims: &Value| signed(&header, claims, SECRET.as_bytes());
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none"})), part(&good));
    let cut = with(json!({"alg": "HS256"}), &good);
    let empty = format!("{}.", cut.rsplit_once('.').expect("three parts").0);
    let modulus = SET.split("\"n\":\"").nth(1).expect("n").split('"').next().expect("n").to_owned();
    for (name, text, why) in [
        ("nothing", String::new(), TokenError::Malformed),
        ("no token", "abc".to_owned(), TokenError::Malformed),
        ("five parts", "a.b.c.d.e".to_owned(), TokenError::Malformed),
        ("too long", format!("{cut}{}", "A".repeat(TOKEN_BYTES_MAX)), TokenError::Malformed),
        ("none", unsigned, TokenError::Algorithm),
        ("None", with(json!({"alg": "None"}), &good), TokenError::Algorithm),
        ("HS512", with(json!({"alg": "HS512"}), &good), TokenError::Algorithm),
        ("no alg", with(json!({}), &good), TokenError::Malformed),
        ("crit", with(json!({"alg": "HS256", "crit": ["x"]}), &good), TokenError::Malformed),
        ("RS256 by the secret", with(json!({"alg": "RS256", "kid": "r1"}), &good), TokenError::Signature),
        ("ES256 by the secret", with(json!({"alg": "ES256", "kid": "e1"}), &good), TokenError::Signature),
        ("a key that is a path", with(json!({"alg": "RS256", "kid": "../../dev/null"}), &good), TokenError::Signature),
        (
            "HS256 by a public key",
            signed(&json!({"alg": "HS256", "kid": "r1"}), &good, modulus.as_bytes()),
            TokenError::Signature,
        ),
        ("no signature", empty, TokenError::Signature),
        ("another secret", signed(&json!({"alg": "HS256"}), &good, b"another"), TokenError::Signature),
        ("ended", with(json!({"alg": "HS256"}), &json!({"role": "anon", "exp": 1})), TokenError::Expired),
        ("a text for an end", with(json!({"alg": "HS256"}), &json!({"exp": "9999999999"})), TokenError::Expired),
        ("no end", with(json!({"alg": "HS256"}), &json!({"role": "anon"})), TokenError::Expired),
        ("not begun", with(json!({"alg": "HS256"}), &json!({"exp": later(), "nbf": later()})), TokenError::Early),
        ("a role", with(json!({"alg": "HS256"}), &json!({"role": "postgres", "exp": later()})), TokenError::Role),
        ("two roles", with(json!({"alg": "HS256"}), &json!({"role": ["anon"], "exp": later()})), TokenError::Role),
        (
            "an address",
            with(json!({"alg": "HS256"}), &json!({"role": "service_role", "url": "b/k", "exp": later()})),
            TokenError::Address,
        ),
        ("no claims", with(json!({"alg": "HS256"}), &json!([1])), TokenError::Malformed),
    ] {
        assert_eq!(tokens(true).caller(&text).expect_err(name), why, "{name}");
    }
    let endless = with(json!({"alg": "HS256"}), &json!({"role": "anon"}));
    assert!(tokens(false).caller(&endless).is_ok());
}

#[test]
fn a_token_of_another_issuer_or_for_another_audience_counts_for_nothing() {
    let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let (issuers, audiences) = (strings(&["https://a", "https://b"]), strings(&["files", "all"]));
    let tokens = Tokens::new(TokenRules { issuers, audiences, ..rules(true) });
    let issuer = Some(TokenError::Issuer);
    let audience = Some(TokenError::Audience);
    for (iss, aud, refused) in [
        (json!("https://a"), json!("files"), None),
        (json!("https://b"), json!(["mail", "all"]), None),
        (json!("https://c"), json!("files"), issuer),
        (json!("https://a/"), json!("files"), issuer),
        (json!(["https://a"]), json!("files"), issuer),
        (json!(null), json!("files"), issuer),
        (json!("https://a"), json!("mail"), audience),
        (json!("https://a"), json!("files all"), audience),
        (json!("https://a"), json!(["mail"]), audience),
        (json!("https://a"), json!([]), audience),
        (json!("https://a"), json!([["files"]]), audience),
        (json!("https://a"), json!(null), audience),
    ] {
        let claims = json!({"role": "anon", "exp": later(), "iss": iss, "aud": aud});
        let text = signed(&json!({"alg": "HS256"}), &claims, SECRET.as_bytes());
        assert_eq!(tokens.caller(&text).err(), refused, "{claims}");
        assert_eq!(tokens.sign_role(claims.as_object().expect("an object").clone()).err(), refused, "{claims}");
    }
    let bare = json!({"role": "anon", "exp": later()}).as_object().expect("an object").clone();
    let text = signed(&json!({"alg": "HS256"}), &Value::from(bare.clone()), SECRET.as_bytes());
    assert_eq!(tokens.caller(&text).err(), issuer, "it names nobody");
    let made = tokens.sign_role(bare).expect("signs");
    assert_eq!(tokens.caller(&made).expect("counts").claims()["iss"], "https://a");
    // Those that this server signs for itself are of it and for it: what they name is a user or an address.
    assert!(tokens.meaning(&tokens.sign_user("ann", std::time::Duration::from_secs(60)).expect("signs").0).is_ok());
}

#[test]
fn what_this_server_signs_for_itself_counts_whichever_algorithms_are_let_in() {
    let tokens = Tokens::new(TokenRules { algorithms: vec![Algorithm::Rs256], ..rules(true) });
    let claims = json!({"role": "service_role", "exp": later()}).as_object().expect("an object").clone();
    let role = tokens.sign(&claims).expect("signs");
    assert_eq!(tokens.caller(&role).err(), Some(TokenError::Algorithm));
    assert_eq!(tokens.sign_role(claims).err(), Some(TokenError::Algorithm));
    let (user, told) = tokens.sign_user("ann", std::time::Duration::from_secs(60)).expect("signs");
    assert_eq!(tokens.meaning(&user).expect("counts"), Meaning::User(told));
    let address = json!({"url": "b/k", "exp": later()}).as_object().expect("an object").clone();
    let address = tokens.sign(&address).expect("signs");
    assert!(tokens.address(&address).is_ok());
    assert_eq!(tokens.meaning(&address).err(), Some(TokenError::Algorithm));
}

#[test]
fn keys_verify_their_own_algorithm() {
    // The signatures of RFC 7515, A.2 and A.3, are over claims that ended long ago: so they hold.
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let es = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let es = format!("eyJhbGciOiJFUzI1NiJ9.{claims}.{es}");
    let set = SET.replace(r#""kid":"e1","#, "").replace(r#""kid":"r1","#, "");
    let tokens = tokens(true);
    assert_eq!(tokens.caller(&es).expect_err("no key of no name"), TokenError::Signature);
    tokens.set_keys(KeySet::parse(&set, true).expect("a set"));
    assert_eq!(tokens.caller(&es).expect_err("ended"), TokenError::Expired);
    let wrong = es.replace("DtEh", "DtEg");
    assert_eq!(tokens.caller(&wrong).expect_err("spoiled"), TokenError::Signature);
    // A set that anybody can fetch holds no secrets, and one of another kind is passed over.
    assert_eq!(KeySet::parse(SET, true).expect("a set").len(), 3);
    assert_eq!(KeySet::parse(SET, false).expect("a set").len(), 2);
    assert!(KeySet::parse("{}", true).is_err());
}

#[test]
fn addresses_are_signed_by_the_secret_alone() {
    let tokens = tokens(true);
    let claims = json!({"url": "b/k", "scope": "download", "exp": later()});
    let text = tokens.sign(claims.as_object().expect("an object")).expect("signs");
    assert_eq!(tokens.address(&text).expect("holds")["url"], "b/k");
    let foreign = signed(&json!({"alg": "HS256", "kid": "o1"}), &claims, b"a-second-secret-of-tests-that-is-long");
    assert_eq!(tokens.address(&foreign).expect_err("foreign"), TokenError::Signature);
}

#[test]
fn a_token_of_a_user_names_it_and_is_of_the_secret_alone() {
    let tokens = tokens(false);
    let (text, told) = tokens.sign_user("ann", std::time::Duration::from_secs(60)).expect("signs");
    assert_eq!(tokens.meaning(&text).expect("counts"), Meaning::User(told.clone()));
    assert_eq!((told.user.as_str(), told.ends - told.issued), ("ann", 60));
    assert_ne!(tokens.sign_user("ann", std::time::Duration::from_secs(60)).expect("signs").1.id, told.id);
    // It is neither a role nor an address.
    assert_eq!(tokens.caller(&text).expect_err("no role"), TokenError::Role);
    let whole = json!({"longshore_user": "ann", "jti": "j", "iat": 1, "exp": later(), "role": "service_role"});
    let by = |secret: &[u8], kid: &str, claims: &Value| signed(&json!({"alg": "HS256", "kid": kid}), claims, secret);
    assert!(matches!(tokens.meaning(&by(SECRET.as_bytes(), "x", &whole)), Ok(Meaning::User(_))));
    let foreign = by(b"a-second-secret-of-tests-that-is-long", "o1", &whole);
    assert_eq!(tokens.meaning(&foreign).expect_err("a key of others"), TokenError::Signature);
    for (name, value, why) in [
        ("exp", Value::Null, TokenError::Expired),
        ("exp", json!(5), TokenError::Expired),
        ("jti", Value::Null, TokenError::Malformed),
        ("jti", json!("j".repeat(65)), TokenError::Malformed),
        ("iat", Value::Null, TokenError::Malformed),
        ("longshore_user", Value::Null, TokenError::Malformed),
        ("longshore_user", json!(["ann"]), TokenError::Malformed),
        ("longshore_user", json!(""), TokenError::Malformed),
        ("url", json!("b/k"), TokenError::Address),
    ] {
        let mut claims = whole.clone();
        claims[name] = value;
        assert_eq!(tokens.meaning(&by(SECRET.as_bytes(), "x", &claims)).expect_err(name), why, "{name}");
    }
    // One without an end, where tokens of roles need none.
    let endless = json!({"longshore_user": "ann", "jti": "j", "iat": 1});
    assert_eq!(tokens.meaning(&by(SECRET.as_bytes(), "x", &endless)).expect_err("no end"), TokenError::Expired);
}
