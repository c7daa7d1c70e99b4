//! Which of the storages that an identity service offers is ours.
//!
//! **Invariant:** a region that was named is the one that is used, or none is: bytes never go to another place because of
//! a misspelt name.

use std::io;

use crate::provider::{Error, Result};

/// One storage of the service catalog, by the interface that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Its region.
    pub(super) region: String,
    /// Its address with the account in it.
    pub(super) url: String,
}

/// The address of the storage in the region that was configured, else in the user's own, else of the first one.
pub(super) fn choose(endpoints: &[Endpoint], configured: Option<&str>, own: Option<&str>) -> Result<String> {
    if endpoints.is_empty() {
        return Err(absent("the service catalog offers no object storage for this user and interface"));
    }
    let Some(region) = configured.or(own) else { return Ok(endpoints[0].url.clone()) };
    // Rackspace spells its regions in capitals and its users do not.
    match endpoints.iter().find(|endpoint| endpoint.region.eq_ignore_ascii_case(region)) {
        Some(endpoint) => Ok(endpoint.url.clone()),
        None => {
            let offered: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.region.as_str()).collect();
            Err(absent(&format!("no object storage in region {region:?}; the service catalog has {offered:?}")))
        }
    }
}

fn absent(what: &str) -> Error {
    tracing::error!(what, "there is no such storage");
    Error::Failed(io::Error::new(io::ErrorKind::NotFound, what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<Endpoint> {
        ["ORD", "DFW"].map(|region| Endpoint { region: region.into(), url: format!("https://{region}/v1/a") }).into()
    }

    #[test]
    fn configured_then_own_then_first() {
        assert_eq!(choose(&offered(), Some("dfw"), Some("ORD")).expect("there"), "https://DFW/v1/a");
        assert_eq!(choose(&offered(), None, Some("DFW")).expect("there"), "https://DFW/v1/a");
        assert_eq!(choose(&offered(), None, None).expect("there"), "https://ORD/v1/a");
    }

    #[test]
    fn a_missing_region_is_named() {
        for (configured, own) in [(Some("LON"), Some("DFW")), (None, Some("LON"))] {
            let Err(Error::Failed(why)) = choose(&offered(), configured, own) else { panic!("chosen") };
            assert!(why.to_string().contains("\"LON\""), "{why}");
            assert!(why.to_string().contains("DFW"), "{why}");
        }
        assert!(choose(&[], None, None).is_err());
    }
}
