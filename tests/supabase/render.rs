//! Images in other sizes and formats.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat};
use serde_json::json;

use super::{As, Site, body, refused};

const SERVICE: As = As::Service;

async fn with_image() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "pub", "public": true})).await;
    site.bucket(json!({"name": "priv"})).await;
    for (format, name) in [(ImageFormat::Png, "i.png"), (ImageFormat::Jpeg, "i.jpg")] {
        let mut bytes = Vec::new();
        DynamicImage::new_rgb8(400, 200).write_to(&mut Cursor::new(&mut bytes), format).expect("written");
        for bucket in ["pub", "priv"] {
            let call =
                site.call(SERVICE, "POST", &format!("/object/{bucket}/{name}")).header("content-type", "image/x");
            call.body(bytes.clone()).send().await.expect(200);
        }
    }
    site.upload(SERVICE, "pub/text.png", "no image").await.expect(200);
    site
}

fn size(answer: &crate::harness::Answer) -> (u32, u32) {
    // What nothing here decodes says its size in a box of its own: version and flags, width, height.
    if let Some(at) = answer.body.windows(4).position(|four| four == b"ispe") {
        assert_eq!(&answer.body[4..12], b"ftypavif");
        let side = |at: usize| u32::from_be_bytes(answer.body[at..at + 4].try_into().expect("four bytes"));
        return (side(at + 8), side(at + 12));
    }
    let image = image::load_from_memory(&answer.body).expect("an image");
    (image.width(), image.height())
}

#[tokio::test]
async fn images_are_made_as_they_are_asked_for() {
    let site = with_image().await;
    for (query, wanted, kind) in [
        ("i.png?width=100", (100, 50), "image/png"),
        ("i.png?width=100&height=100", (100, 100), "image/png"),
        ("i.jpg?width=100&height=100&resize=contain&quality=20", (100, 50), "image/jpeg"),
        ("i.jpg?height=10&format=webp", (20, 10), "image/webp"),
        ("i.png?width=100&format=avif", (100, 50), "image/avif"),
        ("i.png?width=2500&height=2500&format=avif", (2500, 2500), "image/png"),
    ] {
        let answer = site.plain(As::Nobody, "GET", &format!("/render/image/public/pub/{query}")).await.expect(200);
        assert_eq!((size(&answer), answer.header("content-type")), (wanted, Some(kind)), "{query}");
    }
    let path = "/storage/v1/render/image/authenticated/priv/i.png?width=10";
    let whole = site.plain(SERVICE, "GET", path).await.expect(200);
    let etag = whole.header("etag").expect("an ETag").to_owned();
    site.call(SERVICE, "GET", path).header("if-none-match", &etag).send().await.expect(304);
    let other = site.call(SERVICE, "GET", &path.replace("10", "11")).header("if-none-match", &etag).send().await;
    other.expect(200);
    assert_eq!(site.plain(SERVICE, "HEAD", path).await.expect(200).header("content-type"), Some("image/png"));
}

/// The pixels of this one take some 80 MiB on their way. Who left made room for the next while the work for him went on.
#[tokio::test]
async fn images_that_nobody_waits_for_are_made_few_at_a_time() {
    let site = with_image().await;
    let mut bytes = Vec::new();
    DynamicImage::new_rgb8(2000, 2000).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("written");
    let call = site.call(SERVICE, "POST", "/object/pub/large.png").header("content-type", "image/png");
    call.body(bytes).send().await.expect(200);
    let path = "/render/image/public/pub/large.png?width=1800";
    site.plain(As::Nobody, "GET", path).await.expect(200);
    let memory = site.server.peak_memory_bytes();
    site.rest.leave(&site.call(As::Nobody, "GET", path).signed(), 24, Duration::from_millis(10)).await;
    // Those who left before their turn cost nobody else's.
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut answer = site.plain(As::Nobody, "GET", path).await;
    while answer.status == 429 {
        assert!(Instant::now() < deadline, "nobody gets a turn any more");
        answer = site.plain(As::Nobody, "GET", path).await;
    }
    assert_eq!(size(&answer.expect(200)), (1800, 1800));
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < 500 << 20, "memory rose by {} MiB", rise >> 20);
}

/// Scaled as a whole this one would take 80 GB, and the program ended where it could not have them.
#[tokio::test]
async fn a_strip_that_becomes_a_square_ends_nothing() {
    let site = with_image().await;
    let mut strip = Vec::new();
    DynamicImage::new_luma8(2_000_000, 16).write_to(&mut Cursor::new(&mut strip), ImageFormat::Png).expect("written");
    let call = site.call(SERVICE, "POST", "/object/pub/strip.png").header("content-type", "image/png");
    call.body(strip).send().await.expect(200);
    let path = "/render/image/public/pub/strip.png?width=2500&height=2500";
    assert_eq!(size(&site.plain(As::Nobody, "GET", path).await.expect(200)), (2500, 2500));
    let refusal = site.plain(As::Nobody, "GET", &format!("{path}&resize=fill")).await;
    refused(&refusal, "400", "InvalidRequest", "The source image is invalid or unsupported for rendering");
}

#[tokio::test]
async fn an_image_is_shown_to_who_may_read_it() {
    let site = with_image().await;
    let hidden = site.plain(As::Nobody, "GET", "/render/image/public/priv/i.png?width=10").await;
    refused(&hidden, "404", "NoSuchBucket", "Bucket not found");
    let hidden = site.plain(As::Anon, "GET", "/render/image/authenticated/priv/i.png?width=10").await;
    refused(&hidden, "404", "NoSuchKey", "Object not found");
    let bad = site.plain(As::Nobody, "GET", "/render/image/public/pub/i.png?width=abc").await;
    refused(&bad, "400", "InvalidRequest", "querystring/width must be integer");
    let text = site.plain(As::Nobody, "GET", "/render/image/public/pub/text.png?width=10").await;
    refused(&text, "400", "InvalidRequest", "The source image is invalid or unsupported for rendering");
    let asked = json!({"expiresIn": 60, "transform": {"width": 40, "height": 20, "format": "webp"}});
    let signed = body(&site.json(SERVICE, "POST", "/object/sign/priv/i.png", asked).await.expect(200));
    let (path, token) = signed["signedURL"].as_str().and_then(|url| url.split_once("?token=")).expect("an address");
    assert_eq!(path, "/render/image/sign/priv/i.png");
    let get = |path: &str| site.call(As::Nobody, "GET", path).query("token", token).query("width", "400").send();
    let answer = get(path).await.expect(200);
    // What was signed counts, not what is asked for with it.
    assert_eq!((size(&answer), answer.header("content-type")), ((40, 20), Some("image/webp")));
    assert!(answer.header("expires").is_some());
    refused(&get("/render/image/sign/priv/i.jpg").await, "400", "InvalidSignature", "Invalid signature");
}
