//! One multipart upload: its parts go out over all connections at once, each connection taking the next number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use bytes::Bytes;

use crate::case::PART_BYTES;
use crate::client::{Call, Client, Failed, OCTETS, element};
use crate::load::Plan;
use crate::sign::{UNSIGNED, encode_query, hex};

/// Runs the upload and returns its number of bytes. The connections are given back, unless one of them failed.
pub(crate) async fn upload(plan: &Arc<Plan>, clients: &mut Vec<Client>, key: &str, parts: u64) -> Result<u64, Failed> {
    let path = plan.endpoint.read_path(&plan.case.bucket(), key);
    let lead = clients.first_mut().ok_or_else(|| Failed("every connection has failed".into()))?;
    let answer = lead.text(&Call::bare("POST", &path, "uploads=", &plan.no_payload)).await?;
    let id = element(&answer, "UploadId").ok_or_else(|| Failed(format!("no upload id in {answer}")))?.to_owned();
    let next = Arc::new(AtomicU64::new(1));
    let mut workers = JoinSet::new();
    for client in clients.drain(..) {
        workers.spawn(send_parts(Arc::clone(plan), client, path.clone(), id.clone(), Arc::clone(&next), parts));
    }
    let mut sent = Vec::new();
    while let Some(joined) = workers.join_next().await {
        let (client, mut own) = joined.map_err(|error| Failed(format!("worker: {error}")))??;
        clients.push(client);
        sent.append(&mut own);
    }
    sent.sort_unstable();
    complete(plan, clients, &path, &id, &sent).await?;
    Ok(parts * PART_BYTES)
}

type Sent = Vec<(u64, String)>;

async fn send_parts(
    plan: Arc<Plan>,
    mut client: Client,
    path: String,
    id: String,
    next: Arc<AtomicU64>,
    parts: u64,
) -> Result<(Client, Sent), Failed> {
    let mut sent = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > parts {
            return Ok((client, sent));
        }
        let query = format!("partNumber={number}&uploadId={}", encode_query(&id));
        let (payload, block) = (plan.payload.as_str(), &plan.block);
        let call = Call {
            method: "PUT",
            path: &path,
            query: &query,
            payload,
            content_type: OCTETS,
            block,
            length: PART_BYTES,
        };
        sent.push((number, client.drain(&call).await?.1));
    }
}

async fn complete(plan: &Plan, clients: &mut [Client], path: &str, id: &str, sent: &Sent) -> Result<(), Failed> {
    use sha2::{Digest, Sha256};
    let parts: String = sent
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
        .collect();
    let body = Bytes::from(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"));
    let payload = if plan.payload == UNSIGNED { UNSIGNED.to_owned() } else { hex(&Sha256::digest(&body)) };
    let (length, query) = (body.len() as u64, format!("uploadId={}", encode_query(id)));
    let call =
        Call { method: "POST", path, query: &query, payload: &payload, content_type: OCTETS, block: &body, length };
    let lead = clients.first_mut().ok_or_else(|| Failed("every connection has failed".into()))?;
    lead.text(&call).await?;
    Ok(())
}
