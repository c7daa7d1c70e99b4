//! Makes what the loads read: through the endpoint, or as files in the directory that a server is going to serve.
//!
//! A million PUTs take long, and what is compared afterwards is reading; so `files` writes the directory itself before
//! the server starts. Files for listings are empty, for a listing does not open them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::case::{Case, Operation, WRITE_BUCKET};
use crate::client::{Call, Client, Endpoint, Failed, Speaks};
use crate::load::upload;
use crate::sign::UNSIGNED;

const CONNECTIONS: u64 = 16;

/// The cases whose objects must be there before, one for each set of objects.
fn sets(cases: &[Case]) -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let reads = |case: &&Case| matches!(case.operation, Operation::Get | Operation::Head | Operation::List);
    cases.iter().filter(reads).filter(|case| seen.insert((case.bucket(), case.size))).copied().collect()
}

/// Writes the buckets' directories with their files below `root`.
pub(crate) fn files(root: &Path, cases: &[Case], block: &Bytes) -> io::Result<()> {
    fs::create_dir_all(root.join(WRITE_BUCKET))?;
    for case in sets(cases) {
        let mut made = None;
        for n in 0..case.objects {
            let file = root.join(case.bucket()).join(case.key(n));
            let directory = file.parent().unwrap_or(root).to_owned();
            if made.as_ref() != Some(&directory) {
                fs::create_dir_all(&directory)?;
                made = Some(directory);
            }
            let mut file = fs::File::create(file)?;
            let mut left = case.size;
            while left > 0 {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                file.write_all(&block[..take])?;
                left -= take as u64;
            }
        }
    }
    Ok(())
}

/// Makes the buckets and puts the objects through the endpoint.
pub(crate) async fn objects(endpoint: &Endpoint, cases: &[Case], block: &Bytes) -> Result<(), Failed> {
    let mut client = Client::new(endpoint);
    let buckets: BTreeSet<String> = cases.iter().map(Case::bucket).collect();
    for bucket in buckets {
        // A bucket that is there already answers 200 or 409; one that could not be made shows at the first PUT.
        let _ = make_bucket(endpoint, &mut client, &bucket).await;
    }
    for case in sets(cases) {
        let mut workers = JoinSet::new();
        for worker in 0..CONNECTIONS {
            workers.spawn(put_share(Arc::new(endpoint.clone()), case, worker, block.clone()));
        }
        while let Some(joined) = workers.join_next().await {
            joined.map_err(|error| Failed(format!("worker: {error}")))??;
        }
    }
    Ok(())
}

async fn make_bucket(endpoint: &Endpoint, client: &mut Client, bucket: &str) -> Result<String, Failed> {
    let Speaks::Storage { base, .. } = &endpoint.speaks else {
        return client.text(&Call::bare("PUT", &format!("/{bucket}"), "", UNSIGNED)).await;
    };
    let body = Bytes::from(serde_json::json!({ "id": bucket, "name": bucket }).to_string());
    let (path, length) = (format!("{base}/bucket"), body.len() as u64);
    let call = Call {
        method: "POST",
        path: &path,
        query: "",
        payload: UNSIGNED,
        content_type: "application/json",
        block: &body,
        length,
    };
    client.text(&call).await
}

async fn put_share(endpoint: Arc<Endpoint>, case: Case, worker: u64, block: Bytes) -> Result<(), Failed> {
    let mut client = Client::new(&endpoint);
    for n in (worker..case.objects).step_by(CONNECTIONS as usize) {
        upload(&endpoint, &mut client, (&case.bucket(), &case.key(n)), UNSIGNED, (&block, case.size)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_two_cases_read_are_made_once() {
        let cases: Vec<Case> =
            ["get-4k", "head", "put-4k", "list-10k"].map(|name| name.parse().expect("a case")).into();
        let names: Vec<&str> = sets(&cases).iter().map(|case| case.name).collect();
        assert_eq!(names, ["get-4k", "list-10k"]);
    }
}
