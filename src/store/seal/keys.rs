//! The keys that seal data keys: the server's, those with names, and those of clients.
//!
//! **Invariant:** a data key is kept sealed only, under a key that is made for this one sealing of a fresh salt, and it
//! opens for the bucket, key, scheme and context that it was sealed for.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroize as _;

use super::cipher::DataKey;
use crate::auth::secret::{MasterKey, NamedKeys};
use crate::model::encryption::{CustomerKey, Scheme, Sealing};
use crate::model::id::random;
use crate::model::name::{BucketName, ObjectKey};

const SALT_BYTES: usize = 16;
/// What the keys made here are for, so that they are those of nothing else.
const USE: &[u8] = b"longshore: seal a data key";

/// The keys of this server.
#[derive(Debug)]
pub(in crate::store) struct Keys {
    server: MasterKey,
    named: NamedKeys,
}

/// Why a data key is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// There is no key of this name.
    Unknown,
    /// The client's key is needed.
    Missing,
    /// The client's key is another one.
    Other,
    /// The client sent a key for what is not sealed with one.
    NotApplicable,
    /// It does not open.
    Damaged,
}

impl Keys {
    pub(in crate::store) fn new(master: &MasterKey, named: NamedKeys) -> Self {
        Self { server: master.for_use(b"longshore: seal objects"), named }
    }

    /// The name to use for a request that asks for a named key.
    pub(super) fn name(&self, asked: Option<&str>) -> Option<String> {
        asked.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| self.named.default.clone())
    }

    /// Seals a data key into `sealing`, for one key of one bucket.
    pub(super) fn seal(
        &self,
        sealing: &mut Sealing,
        customer: Option<&CustomerKey>,
        data: &DataKey,
        target: (&BucketName, &ObjectKey),
    ) -> Result<(), NoKey> {
        let mut salt = [0; SALT_BYTES];
        random(&mut salt);
        let cipher = cipher(&self.key(&sealing.scheme, customer)?, &salt);
        let payload = Payload { msg: data.expose(), aad: &bound(sealing, target) };
        let text = cipher.encrypt(&Nonce::from([0; 12]), payload).map_err(|_| NoKey::Damaged)?;
        sealing.data_key = BASE64.encode([&salt[..], &text].concat());
        Ok(())
    }

    /// Opens the data key of `sealing`.
    pub(super) fn open(
        &self,
        sealing: &Sealing,
        customer: Option<&CustomerKey>,
        target: (&BucketName, &ObjectKey),
    ) -> Result<DataKey, NoKey> {
        let key = self.key(&sealing.scheme, customer)?;
        let sealed = BASE64.decode(&sealing.data_key).map_err(|_| NoKey::Damaged)?;
        let (salt, text) = sealed.split_first_chunk::<SALT_BYTES>().ok_or(NoKey::Damaged)?;
        let payload = Payload { msg: text, aad: &bound(sealing, target) };
        let no_key = if customer.is_some() { NoKey::Other } else { NoKey::Damaged };
        let mut plain = cipher(&key, salt).decrypt(&Nonce::from([0; 12]), payload).map_err(|_| no_key)?;
        let data = <[u8; 32]>::try_from(&plain[..]).map(DataKey::new).map_err(|_| NoKey::Damaged);
        plain.zeroize();
        data
    }

    fn key(&self, scheme: &Scheme, customer: Option<&CustomerKey>) -> Result<MasterKey, NoKey> {
        match (scheme, customer) {
            (Scheme::Server | Scheme::Named(_), Some(_)) => Err(NoKey::NotApplicable),
            (Scheme::Server, None) => Ok(self.server.clone()),
            (Scheme::Named(name), None) => self.named.keys.get(name).cloned().ok_or(NoKey::Unknown),
            (Scheme::Customer(_), None) => Err(NoKey::Missing),
            (Scheme::Customer(md5), Some(key)) if *md5 != key.md5 => Err(NoKey::Other),
            (Scheme::Customer(_), Some(key)) => Ok(MasterKey::new(*key.expose())),
        }
    }
}

/// Each sealing has a key of its own, so its nonce may be any.
fn cipher(key: &MasterKey, salt: &[u8; SALT_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(key.for_use(&[USE, salt].concat()).bytes().into())
}

/// What a data key is for, each word with its length before it.
fn bound(sealing: &Sealing, (bucket, key): (&BucketName, &ObjectKey)) -> Vec<u8> {
    let (scheme, name) = match &sealing.scheme {
        Scheme::Server => ("server", ""),
        Scheme::Named(name) => ("named", name.as_str()),
        Scheme::Customer(md5) => ("customer", md5.as_str()),
    };
    let context = sealing.context.as_deref().unwrap_or_default();
    let mut bound = Vec::new();
    for word in [scheme, name, bucket.as_str(), key.as_str(), context] {
        bound.extend_from_slice(&(word.len() as u64).to_be_bytes());
        bound.extend_from_slice(word.as_bytes());
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(key: &str) -> (BucketName, ObjectKey) {
        (BucketName::new("bucket").expect("legal"), ObjectKey::new(key).expect("legal"))
    }

    fn sealing(scheme: Scheme) -> Sealing {
        Sealing { scheme, data_key: String::new(), bucket_key: false, context: None, parts: Vec::new() }
    }

    fn keys() -> Keys {
        let named = [("one".to_owned(), MasterKey::generate()), ("two".to_owned(), MasterKey::generate())];
        Keys::new(&MasterKey::generate(), NamedKeys { keys: named.into(), default: Some("two".into()) })
    }

    #[test]
    fn data_keys_open_for_what_they_were_sealed_for_only() {
        let keys = keys();
        let (bucket, key) = names("k");
        let customer = CustomerKey::new([7; 32], "md5".into());
        let schemes = [Scheme::Server, Scheme::Named("one".into()), Scheme::Customer("md5".into())];
        for scheme in schemes {
            let sent = matches!(scheme, Scheme::Customer(_)).then_some(&customer);
            let mut sealing = sealing(scheme.clone());
            let data = DataKey::generate();
            keys.seal(&mut sealing, sent, &data, (&bucket, &key)).expect("seals");
            let opened = keys.open(&sealing, sent, (&bucket, &key)).expect("opens");
            assert_eq!(opened.expose(), data.expose(), "{scheme:?}");
            let (_, other) = names("other");
            assert!(keys.open(&sealing, sent, (&bucket, &other)).is_err(), "{scheme:?}");
            let context = Sealing { context: Some("e30=".into()), ..sealing.clone() };
            assert!(keys.open(&context, sent, (&bucket, &key)).is_err(), "{scheme:?}");
            let others = self::keys();
            assert_eq!(others.open(&sealing, sent, (&bucket, &key)).is_ok(), sent.is_some(), "{scheme:?}");
        }
    }

    #[test]
    fn keys_of_clients_are_asked_for_where_they_are_needed() {
        let keys = keys();
        let (bucket, key) = names("k");
        let customer = CustomerKey::new([7; 32], "md5".into());
        let mut sealing = sealing(Scheme::Customer("md5".into()));
        keys.seal(&mut sealing, Some(&customer), &DataKey::generate(), (&bucket, &key)).expect("seals");
        let refused = |sealing: &Sealing, sent: Option<&CustomerKey>| keys.open(sealing, sent, (&bucket, &key)).err();
        assert_eq!(refused(&sealing, None), Some(NoKey::Missing));
        assert_eq!(refused(&sealing, Some(&CustomerKey::new([7; 32], "other".into()))), Some(NoKey::Other));
        // Not only the digest that the client says is compared.
        assert_eq!(refused(&sealing, Some(&CustomerKey::new([8; 32], "md5".into()))), Some(NoKey::Other));
        let server = Sealing { scheme: Scheme::Server, ..sealing.clone() };
        assert_eq!(refused(&server, Some(&customer)), Some(NoKey::NotApplicable));
        let unknown = Sealing { scheme: Scheme::Named("three".into()), ..sealing };
        assert_eq!(refused(&unknown, None), Some(NoKey::Unknown));
        assert_eq!((keys.name(None), keys.name(Some("one"))), (Some("two".into()), Some("one".into())));
    }
}
