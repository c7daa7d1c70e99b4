//! Buckets named by the host.

use super::{request, send};
use crate::harness::{Options, Server};

#[tokio::test]
async fn a_host_under_a_domain_names_the_bucket() {
    let server = Server::with(Options::default().config("[s3]\ndomains = [\"s3.example.com\"]\n"));
    let root = server.root();
    send(&root, request("photos.s3.example.com", "PUT", "/")).await.expect(200);
    let mut put = request("photos.s3.example.com", "PUT", "/a/b");
    put.body = b"hello".to_vec();
    send(&root, put).await.expect(200);
    assert_eq!(std::fs::read(server.data().join("photos/a/b")).expect("the file"), b"hello");
    for host in ["photos.s3.example.com", "Photos.S3.Example.COM:9000", "photos.s3.example.com."] {
        assert_eq!(send(&root, request(host, "GET", "/a/b")).await.expect(200).text(), "hello", "{host}");
    }
    for host in ["s3.example.com", "localhost", "photos.elsewhere.com"] {
        assert_eq!(send(&root, request(host, "GET", "/photos/a/b")).await.expect(200).text(), "hello", "{host}");
    }
    let mut list = request("photos.s3.example.com", "GET", "/");
    list.query.push(("list-type".to_owned(), "2".to_owned()));
    assert_eq!(send(&root, list).await.expect(200).elements("Key"), ["a/b"]);
    send(&root, request("photos.s3.example.com", "DELETE", "/")).await.refused(409, "BucketNotEmpty");
}
