//! Which operation a method and a path mean.
//!
//! **Invariant:** a segment is compared as it was sent and decoded once; what stands behind the bucket is the key, with
//! every slash in it.

use http::Method;

use super::error::{Refusal, Result};
use crate::front::wire::decode;

macro_rules! operations {
    ($($name:ident = $text:literal,)*) => {
        /// What is to be done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Op {
            $($name,)*
        }

        impl Op {
            /// Its name in log and metrics.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

operations! {
    CreateBucket = "storage.bucket.create",
    ListBuckets = "storage.bucket.list",
    GetBucket = "storage.bucket.get",
    UpdateBucket = "storage.bucket.update",
    EmptyBucket = "storage.bucket.empty",
    DeleteBucket = "storage.bucket.delete",
    Upload = "storage.object.upload",
    Update = "storage.object.upload_update",
    UploadSigned = "storage.object.upload_signed",
    SignUpload = "storage.object.sign_upload_url",
    Sign = "storage.object.sign",
    SignMany = "storage.object.sign_many",
    Get = "storage.object.get",
    GetAuthenticated = "storage.object.get_authenticated",
    GetPublic = "storage.object.get_public",
    GetSigned = "storage.object.get_signed",
    Info = "storage.object.info",
    InfoAuthenticated = "storage.object.info_authenticated",
    InfoPublic = "storage.object.info_public",
    List = "storage.object.list",
    ListV2 = "storage.object.list_v2",
    Move = "storage.object.move",
    Copy = "storage.object.copy",
    Delete = "storage.object.delete",
    DeleteMany = "storage.object.delete_many",
    Health = "storage.health",
    Status = "storage.status",
    Version = "storage.version",
    PurgeCache = "storage.cdn.purge",
    RenderAuthenticated = "storage.render.image_authenticated",
    RenderPublic = "storage.render.image_public",
    RenderSigned = "storage.render.image_sign",
    Resume = "storage.tus.upload",
    ResumeSigned = "storage.tus.upload_signed",
}

/// What a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) op: Op,
    /// The bucket; empty: none.
    pub(super) bucket: String,
    /// The key; empty: none.
    pub(super) key: String,
}

/// Finds the operation of a path that begins behind the base.
pub(super) fn find(method: &Method, path: &str) -> Result<Route> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let reads = *method == Method::GET || *method == Method::HEAD;
    let writes = *method == Method::POST || *method == Method::PUT;
    let found = match (method.as_str(), segments.as_slice()) {
        ("POST", ["bucket"] | ["bucket", ""]) => (Op::CreateBucket, "", &[][..]),
        ("GET", ["bucket"] | ["bucket", ""]) => (Op::ListBuckets, "", &[][..]),
        ("GET", ["bucket", bucket]) => (Op::GetBucket, *bucket, &[][..]),
        ("PUT", ["bucket", bucket]) => (Op::UpdateBucket, *bucket, &[][..]),
        ("DELETE", ["bucket", bucket]) => (Op::DeleteBucket, *bucket, &[][..]),
        ("POST", ["bucket", bucket, "empty"]) => (Op::EmptyBucket, *bucket, &[][..]),
        ("POST", ["object", "move"]) => (Op::Move, "", &[][..]),
        ("POST", ["object", "copy"]) => (Op::Copy, "", &[][..]),
        ("POST", ["object", "list", bucket]) => (Op::List, *bucket, &[][..]),
        ("POST", ["object", "list-v2", bucket]) => (Op::ListV2, *bucket, &[][..]),
        ("POST", ["object", "sign", bucket]) => (Op::SignMany, *bucket, &[][..]),
        ("POST", ["object", "sign", bucket, key @ ..]) => (Op::Sign, *bucket, key),
        (_, ["object", "sign", bucket, key @ ..]) if reads && !key.is_empty() => (Op::GetSigned, *bucket, key),
        ("POST", ["object", "upload", "sign", bucket, key @ ..]) if !key.is_empty() => (Op::SignUpload, *bucket, key),
        ("PUT", ["object", "upload", "sign", bucket, key @ ..]) if !key.is_empty() => (Op::UploadSigned, *bucket, key),
        (_, ["object", "info", "authenticated", bucket, key @ ..]) if reads && !key.is_empty() => {
            (Op::InfoAuthenticated, *bucket, key)
        }
        (_, ["object", "info", "public", bucket, key @ ..]) if reads && !key.is_empty() => {
            (Op::InfoPublic, *bucket, key)
        }
        (_, ["object", "info", bucket, key @ ..]) if reads && !key.is_empty() => (Op::Info, *bucket, key),
        (_, ["object", "authenticated", bucket, key @ ..]) if reads && !key.is_empty() => {
            (Op::GetAuthenticated, *bucket, key)
        }
        (_, ["object", "public", bucket, key @ ..]) if reads && !key.is_empty() => (Op::GetPublic, *bucket, key),
        (_, ["object", bucket, key @ ..]) if reads && !key.is_empty() => (Op::Get, *bucket, key),
        (_, ["object", bucket, key @ ..]) if writes && !key.is_empty() => {
            (if *method == Method::PUT { Op::Update } else { Op::Upload }, *bucket, key)
        }
        ("DELETE", ["object", bucket]) => (Op::DeleteMany, *bucket, &[][..]),
        ("DELETE", ["object", bucket, key @ ..]) => (Op::Delete, *bucket, key),
        ("GET", ["health"]) => (Op::Health, "", &[][..]),
        (_, ["status"]) if reads => (Op::Status, "", &[][..]),
        ("GET", ["version"]) => (Op::Version, "", &[][..]),
        ("DELETE", ["cdn"]) => (Op::PurgeCache, "", &[][..]),
        ("DELETE", ["cdn", bucket, key @ ..]) => (Op::PurgeCache, *bucket, key),
        _ => find_other(method, &segments).ok_or_else(|| Refusal::no_route(method.as_str(), path))?,
    };
    let (op, bucket, key) = found;
    let decoded = |text: &str| decode(text).ok_or_else(|| Refusal::path(path));
    Ok(Route { op, bucket: decoded(bucket)?, key: decoded(&key.join("/"))? })
}

/// What is named and what stands behind it.
type Found<'a> = (Op, &'a str, &'a [&'a str]);

/// Resumable uploads and images. A POST to an upload is what its header says instead.
fn find_other<'a>(method: &Method, segments: &'a [&'a str]) -> Option<Found<'a>> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    Some(match (method.as_str(), segments) {
        ("POST" | "OPTIONS", ["upload", "resumable", "sign"] | ["upload", "resumable", "sign", ""]) => {
            (Op::ResumeSigned, "", &[][..])
        }
        ("POST" | "OPTIONS", ["upload", "resumable"] | ["upload", "resumable", ""]) => (Op::Resume, "", &[][..]),
        ("POST" | "HEAD" | "PATCH" | "DELETE" | "OPTIONS", ["upload", "resumable", "sign", ticket]) => {
            (Op::ResumeSigned, "", std::slice::from_ref(ticket))
        }
        ("POST" | "HEAD" | "PATCH" | "DELETE" | "OPTIONS", ["upload", "resumable", ticket]) => {
            (Op::Resume, "", std::slice::from_ref(ticket))
        }
        (_, ["render", "image", kind, bucket, key @ ..]) if reads && !key.is_empty() => match *kind {
            "authenticated" => (Op::RenderAuthenticated, *bucket, key),
            "public" => (Op::RenderPublic, *bucket, key),
            "sign" => (Op::RenderSigned, *bucket, key),
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_operations() {
        for (method, path, op, bucket, key) in [
            ("POST", "/bucket/", Op::CreateBucket, "", ""),
            ("GET", "/bucket/a%20b", Op::GetBucket, "a b", ""),
            ("POST", "/object/b/a//c", Op::Upload, "b", "a//c"),
            ("POST", "/object/b/..%2F..%2Fx", Op::Upload, "b", "../../x"),
            ("PUT", "/object/b/dir/", Op::Update, "b", "dir/"),
            ("POST", "/object/b/", Op::Upload, "b", ""),
            ("POST", "/object/sign/b", Op::SignMany, "b", ""),
            ("POST", "/object/sign/b/k", Op::Sign, "b", "k"),
            ("HEAD", "/object/sign/b/k", Op::GetSigned, "b", "k"),
            ("PUT", "/object/upload/sign/b/k", Op::UploadSigned, "b", "k"),
            ("GET", "/object/info/public/b/k/l", Op::InfoPublic, "b", "k/l"),
            ("GET", "/object/info/b/k", Op::Info, "b", "k"),
            ("GET", "/object/public/b/%253F", Op::GetPublic, "b", "%3F"),
            ("POST", "/object/public/b/k", Op::Upload, "public", "b/k"),
            ("DELETE", "/object/b", Op::DeleteMany, "b", ""),
            ("POST", "/upload/resumable/", Op::Resume, "", ""),
            ("PATCH", "/upload/resumable/t", Op::Resume, "", "t"),
            ("POST", "/upload/resumable/t", Op::Resume, "", "t"),
            ("POST", "/upload/resumable/sign", Op::ResumeSigned, "", ""),
            ("POST", "/upload/resumable/sign/t", Op::ResumeSigned, "", "t"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let found = find(&method, path).expect(path);
            assert_eq!((found.op, found.bucket.as_str(), found.key.as_str()), (op, bucket, key), "{method} {path}");
        }
        for (method, path) in
            [("PATCH", "/bucket/b"), ("GET", "/bucket/a/b/c"), ("POST", "/object/b/a%ZZ"), ("GET", "/object/b/%ff")]
        {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert!(find(&method, path).is_err(), "{method} {path}");
        }
    }
}
