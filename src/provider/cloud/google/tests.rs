//! Google without Google: what needs no service.
//!
//! **Invariant:** nothing is sent, so these tests say the same without a network; what has to be answered is tested
//! elsewhere.

use std::time::Duration;

use super::*;
use crate::model::secret::Secret;
use crate::provider::settings::GoogleCredentials;

fn config(credentials: GoogleCredentials, endpoint: Option<&str>) -> GoogleConfig {
    GoogleConfig { credentials, project_id: None, endpoint: endpoint.map(Into::into) }
}

async fn open(config: &GoogleConfig) -> io::Result<Google> {
    let transport = TransportConfig { connect_timeout: Duration::from_secs(1), ..TransportConfig::default() };
    Google::open("g", config, transport).await
}

#[tokio::test]
async fn an_emulator_gets_no_token() {
    let ambient = open(&config(GoogleCredentials::Ambient, Some("http://127.0.0.1:1"))).await.expect("opens");
    let key = r#"{"gcs_base_url":"http://127.0.0.1:2/","disable_oauth":true,"client_email":"","private_key":"",
        "private_key_id":"","project_id":"p"}"#;
    let key = GoogleCredentials::ServiceAccount(Secret::new(key));
    let account = open(&config(key, None)).await.expect("opens");
    assert_eq!((account.endpoint.0.as_str(), account.project().ok()), ("http://127.0.0.1:2", Some("p")));
    assert!(ambient.project().is_err());
    for driver in [ambient, account] {
        let mut request = http::Request::new(());
        let sign: &dyn super::super::transport::Sign = &driver.account;
        sign.sign(&mut request, &Payload::default()).await.expect("needs nothing");
        assert!(request.headers().is_empty() && !sign.refused().await);
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_told_without_showing_it() {
    for key in ["hush", r#"{"private_key":"hush","private_key_id":"i","client_email":"e"}"#] {
        let key = config(GoogleCredentials::ServiceAccount(Secret::new(key)), None);
        let error = open(&key).await.expect_err("no key");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[tokio::test]
async fn names_are_those_of_the_service() {
    let driver = open(&config(GoogleCredentials::Ambient, Some("http://127.0.0.1:1"))).await.expect("opens");
    let long = "é".repeat(512);
    for name in ["a", "a//b", "/a", "a/", "a/../b", "./a", "..a", "\u{1}", "%", "+?#", "😀", &long] {
        assert!(driver.holds(name), "{name:?}");
    }
    let longer = format!("{long}a");
    for name in ["", ".", "..", "a\nb", "\r", "\0", ".well-known/acme-challenge/x", &longer] {
        assert!(!driver.holds(name), "{name:?}");
    }
    let longest = "b".repeat(63);
    for name in ["abc", "a-b_c.d", "0a0", &longest] {
        assert!(driver.may_name(name), "{name}");
    }
    let longer = "b".repeat(64);
    for name in ["ab", "-ab", "ab_", "aBc", "a..b", "127.0.0.1", "goog-x", "my-google", "upload", "ü-b", &longer] {
        assert!(!driver.may_name(name), "{name}");
    }
}
