//! Images in another size or format, made when they are asked for.
//!
//! **Invariant:** what is read is bounded in bytes and in pixels before it is decoded; the work is done on a thread that
//! may block, by few at a time; who may not read an image learns nothing of it here either.

use std::io::Cursor;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use image::codecs::avif::AvifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::error::{LimitError, LimitErrorKind};
use image::imageops::FilterType;
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};

use super::error::{Refusal, Result};
use super::read::disposition;
use super::route::Op;
use super::schema::Fields;
use super::sign::Scope;
use super::who::Known;
use super::{Asked, Supabase, dates, names, row, upload};
use crate::config::limits::{RENDER_AVIF_PIXELS_MAX, RENDER_BYTES_MAX, RENDER_PIXELS_MAX, RENDER_SIDE_MAX};
use crate::front::wire::{conditions, put};
use crate::model::condition::{Conditions, Current, ReadVerdict};
use crate::model::object::Object;
use crate::store::Error;
use crate::store::request::{Body as Bytes, GetRequest, Portion};

/// How an image is fitted into what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It fills all, and what is over is cut off.
    Cover,
    /// All of it is in there.
    Contain,
    /// It is stretched.
    Fill,
}

/// As what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is stored.
    Origin,
    Avif,
    Webp,
}

/// How much time AVIF may take for how small it gets: 1 to 10, the fastest.
const AVIF_SPEED: u8 = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transform {
    width: u32,
    height: u32,
    fit: Fit,
    quality: u8,
    form: Form,
}

impl Transform {
    /// From a query.
    pub(super) fn of(fields: &mut Fields) -> Result<Self> {
        let side = |number: Option<i64>| u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX).min(RENDER_SIDE_MAX);
        let (width, height) = (fields.integer("width", 0), fields.integer("height", 0));
        let fit = match fields.word("resize", &["cover", "contain", "fill"]) {
            Some("contain") => Fit::Contain,
            Some("fill") => Fit::Fill,
            _ => Fit::Cover,
        };
        let quality = fields.integer("quality", 20).unwrap_or(80);
        if quality > 100 {
            fields.problem("/quality must be <= 100");
        }
        let form = match fields.word("format", &["origin", "avif", "webp"]) {
            Some("avif") => Form::Avif,
            Some("webp") => Form::Webp,
            _ => Form::Origin,
        };
        fields.check()?;
        Ok(Self { width: side(width), height: side(height), fit, quality: u8::try_from(quality).unwrap_or(100), form })
    }

    /// From the text in a signed address: `width:100,height:50`.
    pub(super) fn of_text(text: &str, format: Option<&str>) -> Result<Self> {
        let mut map: serde_json::Map<String, serde_json::Value> = text
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        map.extend(format.map(|format| ("format".to_owned(), format.into())));
        Self::of(&mut Fields::of_map(map))
    }

    fn resize(self, image: &DynamicImage) -> DynamicImage {
        let (width, height) = (image.width(), image.height());
        let scaled = |side: u32, by: u32, of: u32| {
            u32::try_from((u64::from(side) * u64::from(by)).div_ceil(u64::from(of.max(1)))).unwrap_or(1).max(1)
        };
        let filter = FilterType::CatmullRom;
        match (self.width, self.height) {
            (0, 0) => image.clone(),
            (w, 0) => image.resize_exact(w, scaled(height, w, width).min(RENDER_SIDE_MAX * 4), filter),
            (0, h) => image.resize_exact(scaled(width, h, height).min(RENDER_SIDE_MAX * 4), h, filter),
            (w, h) => match self.fit {
                Fit::Cover => image.resize_to_fill(w, h, filter),
                Fit::Contain => image.resize(w, h, filter),
                Fit::Fill => image.resize_exact(w, h, filter),
            },
        }
    }

    fn make(self, bytes: &[u8]) -> std::result::Result<(Vec<u8>, &'static str), ImageError> {
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(RENDER_PIXELS_MAX);
        limits.max_image_height = Some(RENDER_PIXELS_MAX);
        limits.max_alloc = Some(u64::from(RENDER_PIXELS_MAX) * 8);
        reader.limits(limits);
        let format = reader.format();
        let (width, height) = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_dimensions()?;
        if u64::from(width) * u64::from(height) > u64::from(RENDER_PIXELS_MAX) {
            return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
        }
        let image = self.resize(&reader.decode()?);
        let pixels = u64::from(image.width()) * u64::from(image.height());
        let mut made = Vec::new();
        let kind = match format {
            // One that would take too long is sent in its own format, which it says.
            _ if self.form == Form::Avif && pixels <= u64::from(RENDER_AVIF_PIXELS_MAX) => {
                let encoder = AvifEncoder::new_with_speed_quality(&mut made, AVIF_SPEED, self.quality);
                image.to_rgba8().write_with_encoder(encoder.with_num_threads(Some(1)))?;
                "image/avif"
            }
            _ if self.form == Form::Webp => {
                image.to_rgba8().write_with_encoder(WebPEncoder::new_lossless(&mut made))?;
                "image/webp"
            }
            Some(ImageFormat::Jpeg) => {
                image.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut made, self.quality))?;
                "image/jpeg"
            }
            Some(ImageFormat::WebP) => {
                image.to_rgba8().write_with_encoder(WebPEncoder::new_lossless(&mut made))?;
                "image/webp"
            }
            _ => {
                image.write_to(&mut Cursor::new(&mut made), ImageFormat::Png)?;
                "image/png"
            }
        };
        Ok((made, kind))
    }
}

/// What is to be shown, and to whom.
struct Wanted {
    known: Known,
    bucket: String,
    key: String,
    transform: Transform,
    /// When a signed address ends.
    ends: Option<i64>,
}

async fn wanted(front: &Supabase, asked: &Asked) -> Result<Wanted> {
    let mut query = Fields::of_query(asked.query());
    let (bucket, key) = (asked.route.bucket.clone(), asked.route.key.clone());
    let known = match asked.route.op {
        Op::RenderPublic => Known { caller: asked.nobody(), verified: false },
        Op::RenderSigned => {
            let address = front.address(asked, Scope::Download)?;
            let known = Known { caller: upload::service_for(asked, None), verified: true };
            let transform = Transform::of_text(&address.transform, address.format.as_deref())?;
            let ends = address.ends;
            return Ok(Wanted { known, bucket: address.bucket, key: address.key, transform, ends });
        }
        _ => Known { caller: front.caller(asked).await?, verified: true },
    };
    Ok(Wanted { known, bucket, key, transform: Transform::of(&mut query)?, ends: None })
}

/// Serves an image.
pub(super) async fn serve(front: &Supabase, asked: &Asked) -> Result<Response> {
    let Wanted { known, bucket, key, transform, ends } = wanted(front, asked).await?;
    let bucket = front.bucket(&bucket).await?;
    front.let_in(&known, &bucket).await?;
    let whole = GetRequest {
        bucket: bucket.clone(),
        key: names::key(&key)?,
        version: None,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        customer_key: None,
    };
    // Held while the image is in memory.
    let _permit = front.renders.acquire().await.map_err(|error| Refusal::from(Error::Internal(error.into())))?;
    let served = match front.store.get(&known.caller, whole).await {
        Ok(served) => served,
        Err(error) => return Err(front.unread(&known, &bucket, error).await),
    };
    let object = served.found.object;
    let etag = variant(&object, transform);
    let current = Current { etag: &etag, modified: object.modified, size: object.size };
    let mut answer = Response::new(Body::empty());
    match conditions(&asked.head.headers).read(current) {
        ReadVerdict::Proceed => {
            let made = made(served.body, &object, transform).await?;
            let headers = answer.headers_mut();
            put(headers, CONTENT_TYPE, made.1);
            put(headers, CONTENT_LENGTH, &made.0.len().to_string());
            if let Some(name) = Fields::of_query(asked.query()).text("download") {
                put(headers, CONTENT_DISPOSITION, &disposition(&name));
            }
            if asked.head.method != Method::HEAD {
                *answer.body_mut() = Body::from(made.0);
            }
        }
        ReadVerdict::NotModified => *answer.status_mut() = StatusCode::NOT_MODIFIED,
        ReadVerdict::Failed => return Err(Error::PreconditionFailed.into()),
    }
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(headers, ETAG, &format!("\"{etag}\""));
    put(headers, LAST_MODIFIED, &dates::header(object.modified));
    match ends.and_then(dates::of_seconds) {
        Some(ends) => put(headers, EXPIRES, &ends),
        None => put(headers, CACHE_CONTROL, row::cache_control(&object)),
    }
    Ok(answer)
}

/// The ETag of what is made of an object.
fn variant(object: &Object, transform: Transform) -> String {
    let Transform { width, height, fit, quality, form } = transform;
    format!("{}-{width}x{height}-{fit:?}-{quality}-{form:?}", object.etag).to_lowercase()
}

/// Reads an image and makes what is asked for of it.
async fn made(body: Bytes, object: &Object, transform: Transform) -> Result<(Vec<u8>, &'static str)> {
    if object.size > RENDER_BYTES_MAX {
        return Err(Refusal::too_large());
    }
    let mut bytes = Vec::new();
    match body {
        Bytes::Whole(whole) => bytes.extend_from_slice(&whole),
        Bytes::Blocks(mut blocks) => {
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(Error::from)?);
            }
        }
    }
    let work = tokio::task::spawn_blocking(move || transform.make(&bytes));
    let made = work.await.map_err(|error| Refusal::from(Error::Internal(error.into())))?;
    made.map_err(|error| {
        tracing::debug!(%error, "an image is not made");
        Refusal::new(422, "InvalidRequest", "The object is no image that can be transformed", "InvalidRequest")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::new_rgb8(width, height).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("writes");
        bytes
    }

    /// An image that a lossy format can make smaller.
    fn noise(side: u32) -> Vec<u8> {
        let mut image = image::RgbImage::new(side, side);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            *pixel = image::Rgb([0, 80, 160].map(|by| (x * x + 7 * y * x + by).to_le_bytes()[0]));
        }
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("writes");
        bytes
    }

    fn transform(text: &str, format: Option<&str>) -> Transform {
        Transform::of_text(text, format).expect("a transform")
    }

    #[test]
    fn images_get_the_size_that_is_asked_for() {
        for (text, format, width, height, kind) in [
            ("width:10", None, 10, 5, "image/png"),
            ("height:10", None, 20, 10, "image/png"),
            ("width:10,height:10", None, 10, 10, "image/png"),
            ("width:10,height:10,resize:contain", None, 10, 5, "image/png"),
            ("width:10,height:10,resize:fill", Some("webp"), 10, 10, "image/webp"),
            ("", Some("origin"), 40, 20, "image/png"),
        ] {
            let (bytes, made) = transform(text, format).make(&png(40, 20)).expect("an image");
            let image = image::load_from_memory(&bytes).expect("an image");
            assert_eq!((image.width(), image.height(), made), (width, height, kind), "{text}");
        }
        let sizes = [20, 80].map(|quality| {
            let (bytes, made) =
                transform(&format!("quality:{quality}"), Some("avif")).make(&noise(64)).expect("an image");
            assert_eq!((&bytes[4..12], made), (&b"ftypavif"[..], "image/avif"));
            bytes.len()
        });
        assert!(sizes[0] < sizes[1], "{sizes:?}");
        assert!(transform("width:1", None).make(b"no image").is_err());
        assert_eq!(transform("width:999999999999", None).width, RENDER_SIDE_MAX);
        for bad in ["width:-1", "width:x", "quality:5", "quality:101", "resize:up"] {
            assert!(Transform::of_text(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_of_too_many_pixels_is_not_decoded() {
        // The head of a PNG that says it has 40,000 by 40,000 pixels.
        let mut bytes = png(1, 1);
        bytes[16..24].copy_from_slice(&[0, 0, 0x9c, 0x40, 0, 0, 0x9c, 0x40]);
        let sum = bytes[12..29].iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
        });
        bytes[29..33].copy_from_slice(&(!sum).to_be_bytes());
        let error = transform("width:1", None).make(&bytes).expect_err("too many");
        assert!(matches!(error, ImageError::Limits(_)), "{error}");
    }
}
