//! What an image is to become: size, fit, the part that is kept, quality, format; and the making of it.
//!
//! The words are those of imgproxy, which Supabase has in front of its storage.
//!
//! **Invariant:** before an image is decoded, it is known to have no more pixels than the limit, and to need no more memory
//! on its way to the size that is asked for.

use std::fmt;
use std::io::Cursor;

use image::codecs::avif::AvifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::error::{LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use super::error::Result;
use super::fit::{Fitting, proportional};
use super::schema::Fields;
use crate::config::limits::{
    RENDER_AVIF_PIXELS_MAX, RENDER_PIXEL_BYTES_MAX, RENDER_PIXELS_MAX, RENDER_SIDE_MAX, RENDER_WORK_BYTES_MAX,
};

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

/// Which part of an image is kept where it does not fit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gravity {
    /// As it was asked for.
    word: &'static str,
    /// To the right and down, if they were given: below 1 a share of the image, else pixels.
    offsets: Option<(f64, f64)>,
}

/// The edges that words name. What is most interesting of an image (`sm`) nobody looks for here: it is its middle.
const GRAVITIES: [&str; 11] = ["no", "so", "ea", "we", "noea", "nowe", "soea", "sowe", "ce", "sm", "fp"];

impl Gravity {
    fn of(fields: &mut Fields) -> Option<Self> {
        let word = fields.word("gravity", &GRAVITIES);
        let [x, y] = ["x_offset", "y_offset"].map(|name| {
            if word == Some("fp") {
                fields.required(name);
            }
            let offset = fields.number(name);
            if word == Some("fp") && offset.is_some_and(|offset| !(0.0..=1.0).contains(&offset)) {
                fields.problem(&format!("/{name} must be between 0 and 1"));
            }
            offset
        });
        let word = word?;
        let given = x.is_some() || y.is_some();
        Some(Self { word, offsets: given.then(|| (x.unwrap_or(0.0), y.unwrap_or(0.0))) })
    }

    /// Where a part of `kept` pixels begins on a side of `whole`: at the side that the word names by `near` or `far`.
    fn begin(self, (near, far): (&str, &str), offset: f64, (whole, kept): (u32, u32)) -> u32 {
        let (side, spare) = (f64::from(whole), f64::from(whole - kept));
        let by = if offset.abs() < 1.0 { offset * side } else { offset };
        let at = match self.word {
            "fp" => offset * side - f64::from(kept) / 2.0,
            "ce" | "sm" => spare / 2.0 + by,
            word if word.contains(near) => by,
            word if word.contains(far) => spare - by,
            _ => spare / 2.0 + by,
        };
        // Between nothing and what is spare, which is a number of 32 bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to what fits")]
        let begin = at.round().clamp(0.0, spare) as u32;
        begin
    }

    /// Where the part of a size begins in an image of another.
    fn part(self, (width, height): (u32, u32), kept: (u32, u32)) -> (u32, u32) {
        let (x, y) = self.offsets.filter(|_| self.word != "sm").unwrap_or((0.0, 0.0));
        (self.begin(("we", "ea"), x, (width, kept.0)), self.begin(("no", "so"), y, (height, kept.1)))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transform {
    width: u32,
    height: u32,
    fit: Fit,
    quality: u8,
    /// Whether a quality was asked for.
    says_quality: bool,
    form: Form,
    gravity: Option<Gravity>,
}

/// As it is told with the answer: `width:100,resizing_type:fill`.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resizing = match self.fit {
            Fit::Cover => "fill",
            Fit::Contain => "fit",
            Fit::Fill => "force",
        };
        let form = match self.form {
            Form::Origin => None,
            Form::Avif => Some("avif"),
            Form::Webp => Some("webp"),
        };
        let gravity = self.gravity.map(|Gravity { word, offsets }| match offsets.filter(|_| word != "sm") {
            None => format!("gravity:{word}"),
            Some((x, y)) => format!("gravity:{word}:{x}:{y}"),
        });
        let said = [
            (self.height > 0).then(|| format!("height:{}", self.height)),
            (self.width > 0).then(|| format!("width:{}", self.width)),
            (self.width > 0 || self.height > 0).then(|| format!("resizing_type:{resizing}")),
            self.says_quality.then(|| format!("quality:{}", self.quality)),
            form.map(|form| format!("format:{form}")),
            gravity,
        ];
        f.write_str(&said.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
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
        let quality = fields.integer("quality", 20);
        let says_quality = quality.is_some();
        let quality = quality.unwrap_or(80);
        if quality > 100 {
            fields.problem("/quality must be <= 100");
        }
        let form = match fields.word("format", &["origin", "avif", "webp"]) {
            Some("avif") => Form::Avif,
            Some("webp") => Form::Webp,
            _ => Form::Origin,
        };
        let gravity = Gravity::of(fields);
        fields.check()?;
        let (width, height, quality) = (side(width), side(height), u8::try_from(quality).unwrap_or(100));
        Ok(Self { width, height, fit, quality, says_quality, form, gravity })
    }

    /// What tells it from others in an ETag.
    pub(super) fn mark(self) -> String {
        let Self { width, height, fit, quality, form, gravity, .. } = self;
        let part = gravity.map_or_else(String::new, |Gravity { word, offsets }| {
            offsets.map_or_else(|| format!("-{word}"), |(x, y)| format!("-{word}{x}:{y}"))
        });
        format!("{width}x{height}-{fit:?}-{quality}-{form:?}{part}").to_lowercase()
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

    /// How an image of a size comes to the one that is asked for.
    fn fitting(self, (width, height): (u32, u32)) -> Fitting {
        let size = (width.max(1), height.max(1));
        let scaled = |side: u32, by: u32, of: u32| {
            let scaled = u32::try_from((u64::from(side) * u64::from(by)).div_ceil(u64::from(of)));
            scaled.unwrap_or(u32::MAX).clamp(1, RENDER_SIDE_MAX * 4)
        };
        let asked = (self.width, self.height);
        match asked {
            (0, 0) => Fitting::whole(size, size),
            (w, 0) => Fitting::whole(size, (w, scaled(size.1, w, size.0))),
            (0, h) => Fitting::whole(size, (scaled(size.0, h, size.1), h)),
            _ => match self.fit {
                Fit::Cover => {
                    let full = proportional(size, asked, true);
                    let middle = ((full.0 - asked.0) / 2, (full.1 - asked.1) / 2);
                    let begin = self.gravity.map_or(middle, |gravity| gravity.part(full, asked));
                    Fitting::part(size, full, begin, asked)
                }
                Fit::Contain => Fitting::whole(size, proportional(size, asked, false)),
                Fit::Fill => Fitting::whole(size, asked),
            },
        }
    }

    /// Makes it of the bytes of an image, and says its type.
    ///
    /// # Errors
    /// It is no image of a known format; [`ImageError::Limits`] if it is too large, or would need too much memory.
    pub(super) fn make(self, bytes: &[u8]) -> std::result::Result<(Vec<u8>, &'static str), ImageError> {
        let mended = mended(bytes);
        let (image, format) = self.resized(mended.as_deref().unwrap_or(bytes))?;
        self.encoded(&image, format)
    }

    /// The image in its new size, and the format that it had.
    fn resized(self, bytes: &[u8]) -> std::result::Result<(DynamicImage, Option<ImageFormat>), ImageError> {
        let mut limits = Limits::default();
        limits.max_image_width = Some(RENDER_PIXELS_MAX);
        limits.max_image_height = Some(RENDER_PIXELS_MAX);
        limits.max_alloc = Some(u64::from(RENDER_PIXELS_MAX) * RENDER_PIXEL_BYTES_MAX);
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        reader.limits(limits.clone());
        let format = reader.format();
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        let fitting = self.fitting((width, height));
        let pixel_bytes = u64::from(decoder.color_type().bytes_per_pixel());
        if u64::from(width) * u64::from(height) > u64::from(RENDER_PIXELS_MAX)
            || fitting.bytes(decoder.total_bytes(), pixel_bytes) > RENDER_WORK_BYTES_MAX
        {
            return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
        }
        // What the decoder takes for itself is counted beside what comes out of it.
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        Ok((fitting.apply(DynamicImage::from_decoder(decoder)?), format))
    }

    fn encoded(
        self,
        image: &DynamicImage,
        format: Option<ImageFormat>,
    ) -> std::result::Result<(Vec<u8>, &'static str), ImageError> {
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

/// A PNG with the checksums that its chunks should have, if one of them is wrong: other readers show such images, too.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 8;
    let mut mended: Option<Vec<u8>> = None;
    let mut at = bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(HEAD)?;
    while let Some((length, rest)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<4>) {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(4)?;
        let (chunk, said) = rest.split_at_checked(length)?;
        let sum = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, chunk)).ok()?.to_be_bytes();
        let from = at + 4 + length;
        if *said.first_chunk::<4>()? != sum {
            mended.get_or_insert_with(|| bytes.to_vec()).get_mut(from..from + 4)?.copy_from_slice(&sum);
        }
        at = from + 4;
    }
    mended
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

    /// An image whose pixels say where they are.
    fn places(width: u32, height: u32) -> Vec<u8> {
        let place = |at: u32| u8::try_from(at).expect("a small image");
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([place(x), place(y), 0]));
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("writes");
        bytes
    }

    #[test]
    fn the_part_that_is_kept_is_the_one_asked_for() {
        for (gravity, left, top) in [
            ("", 90, 0),
            ("gravity:ce", 90, 0),
            ("gravity:sm", 90, 0),
            ("gravity:we", 0, 0),
            ("gravity:ea", 180, 0),
            ("gravity:noea", 180, 0),
            ("gravity:sowe", 0, 0),
            ("gravity:we,x_offset:7", 7, 0),
            ("gravity:ea,x_offset:7", 173, 0),
            ("gravity:ce,x_offset:0.1,y_offset:0", 110, 0),
            ("gravity:fp,x_offset:0,y_offset:1", 0, 0),
            ("gravity:fp,x_offset:1,y_offset:0.5", 180, 0),
            ("gravity:we,x_offset:900", 180, 0),
            ("gravity:we,x_offset:-900", 0, 0),
        ] {
            let asked = transform(&format!("width:20,height:20,{gravity}"), None);
            let (bytes, _) = asked.make(&places(200, 20)).expect("an image");
            let image = image::load_from_memory(&bytes).expect("an image").to_rgb8();
            assert_eq!((image.width(), image.height()), (20, 20), "{gravity}");
            assert_eq!(image.get_pixel(0, 0).0, [left, top, 0], "{gravity}");
        }
        let tall = transform("width:10,height:40,gravity:so", None);
        let (bytes, _) = tall.make(&places(10, 200)).expect("an image");
        assert_eq!(image::load_from_memory(&bytes).expect("an image").to_rgb8().get_pixel(0, 0).0, [0, 160, 0]);
        let said =
            transform("width:20,height:30,quality:50,gravity:fp,x_offset:0,y_offset:1", Some("webp")).to_string();
        assert_eq!(said, "height:30,width:20,resizing_type:fill,quality:50,format:webp,gravity:fp:0:1");
        for bad in [
            "gravity:up",
            "gravity:fp",
            "gravity:fp,x_offset:0",
            "gravity:fp,x_offset:2,y_offset:0",
            "gravity:we,x_offset:z",
        ] {
            assert!(Transform::of_text(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_png_whose_checksum_is_wrong_is_shown() {
        let mut bytes = png(4, 2);
        let last = bytes.len() - 1;
        bytes[29] ^= 1;
        bytes[last] ^= 1;
        assert!(image::load_from_memory(&bytes).is_err());
        let (made, _) = transform("width:2", None).make(&bytes).expect("an image");
        assert_eq!(image::load_from_memory(&made).expect("an image").width(), 2);
        assert!(mended(&png(4, 2)).is_none());
        for cut in 0..bytes.len() {
            let _ = mended(&bytes[..cut]);
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

    #[test]
    fn a_strip_becomes_what_fits_into_memory() {
        let strip = png(100_000, 16);
        for (text, size) in [
            ("width:2500,height:2500", (2500, 2500)),
            ("width:2500,height:2500,gravity:ea", (2500, 2500)),
            ("width:2500,height:2500,resize:contain", (2500, 1)),
            ("width:2500", (2500, 1)),
        ] {
            let (bytes, _) = transform(text, None).make(&strip).expect("an image");
            let image = image::load_from_memory(&bytes).expect("an image");
            assert_eq!((image.width(), image.height()), size, "{text}");
        }
        for text in ["width:2500,height:2500,resize:fill", "height:2500"] {
            let error = transform(text, None).make(&strip).expect_err("too much memory");
            assert!(matches!(error, ImageError::Limits(_)), "{text}: {error}");
        }
    }

    /// What a large photograph or a long page becomes is not refused.
    #[test]
    fn ordinary_images_have_the_memory_they_need() {
        for (size, pixel_bytes) in [((5792, 5792), 8), ((8000, 4000), 4), ((2500, 13_000), 4), ((3000, 10_000), 4)] {
            let bytes = u64::from(size.0) * u64::from(size.1) * pixel_bytes;
            for text in ["", "width:2500,height:2500", "width:2500,height:2500,resize:contain", "width:2400"] {
                let fitting = transform(text, None).fitting(size);
                assert!(fitting.bytes(bytes, pixel_bytes) <= RENDER_WORK_BYTES_MAX, "{size:?} for {text:?}");
            }
        }
    }
}
