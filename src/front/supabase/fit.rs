//! How an image comes to its size: what is read of it, to what this is scaled, and what is kept of that.
//!
//! What would be cut off is left out before the scaling, but for the pixels beside it that the filter looks at. So a strip
//! that becomes a square is never scaled as a whole, which could be thousands of squares.
//!
//! **Invariant:** the memory that a size takes is known before an image is decoded.

use image::DynamicImage;
use image::imageops::FilterType;

/// How pixels are found between others.
const FILTER: FilterType = FilterType::CatmullRom;
/// How far the filter looks to each side, in pixels of the image, or of what it becomes where that has fewer.
const FILTER_REACH_PIXELS: u64 = 2;
/// A pixel between the passes: its columns are scaled first, and what comes of it is kept in four floats.
const PASS_PIXEL_BYTES: u64 = 16;

/// One direction. All numbers are pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Side {
    /// What is read begins here.
    from: u32,
    read: u32,
    /// What that becomes.
    scaled: u32,
    /// What is kept of it begins here.
    begin: u32,
    kept: u32,
}

impl Side {
    fn whole(length: u32, scaled: u32) -> Self {
        Self { from: 0, read: length, scaled, begin: 0, kept: scaled }
    }

    /// What would be `kept` pixels from `begin` on, if all were scaled.
    fn part(length: u32, scaled: u32, begin: u32, kept: u32) -> Self {
        let (length, full) = (u64::from(length.max(1)), u64::from(scaled.max(1)));
        let (begin, end) = (u64::from(begin), u64::from(begin) + u64::from(kept));
        let reach = FILTER_REACH_PIXELS * length.div_ceil(full);
        let from = (begin * length / full).saturating_sub(reach);
        let to = ((end * length).div_ceil(full) + reach).min(length);
        // Where a pixel would come to lie. What is kept is within, as the reach is at least two pixels of either.
        let at = |pixel: u64| (pixel * full + length / 2) / length;
        let number = |pixels: u64| u32::try_from(pixels).unwrap_or(u32::MAX);
        let (read, scaled) = (number(to - from), number(at(to) - at(from)));
        Self { from: number(from), read, scaled, begin: number(begin - at(from)), kept }
    }
}

/// What is done to an image. Sizes are pixels, width first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fitting {
    x: Side,
    y: Side,
}

impl Fitting {
    /// All of it in another size, or in its own.
    pub(super) fn whole(size: (u32, u32), scaled: (u32, u32)) -> Self {
        Self { x: Side::whole(size.0, scaled.0), y: Side::whole(size.1, scaled.1) }
    }

    /// The part of the size `kept` that begins at `begin` where all of it were scaled; it must be inside of that.
    pub(super) fn part(size: (u32, u32), scaled: (u32, u32), begin: (u32, u32), kept: (u32, u32)) -> Self {
        let x = Side::part(size.0, scaled.0, begin.0, kept.0);
        Self { x, y: Side::part(size.1, scaled.1, begin.1, kept.1) }
    }

    /// Most bytes of pixels that are in memory at a time, of an image that takes so many with so many for each pixel.
    pub(super) fn bytes(self, image: u64, pixel: u64) -> u64 {
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let Self { x, y } = self;
        let scales = (x.read, y.read) != (x.scaled, y.scaled);
        let between = if scales { area(x.read, y.scaled).saturating_mul(PASS_PIXEL_BYTES) } else { 0 };
        image.saturating_add(between).saturating_add(area(x.scaled, y.scaled).saturating_mul(pixel))
    }

    /// Does it, to an image of the size that it was made for.
    pub(super) fn apply(self, image: DynamicImage) -> DynamicImage {
        let Self { x, y } = self;
        let mut image = cut(image, (x.from, y.from), (x.read, y.read));
        if (image.width(), image.height()) != (x.scaled, y.scaled) {
            image = image.resize_exact(x.scaled, y.scaled, FILTER);
        }
        cut(image, (x.begin, y.begin), (x.kept, y.kept))
    }
}

fn cut(image: DynamicImage, (left, top): (u32, u32), (width, height): (u32, u32)) -> DynamicImage {
    if (image.width(), image.height()) == (width, height) {
        return image;
    }
    image.crop_imm(left, top, width, height)
}

/// The size in the proportions of an image that just covers what is asked for, or is just inside of it.
pub(super) fn proportional((width, height): (u32, u32), asked: (u32, u32), covers: bool) -> (u32, u32) {
    let scaled = |side: u32, by: u32, of: u32| {
        let of = u64::from(of.max(1));
        u32::try_from((u64::from(side) * u64::from(by) + of / 2) / of).unwrap_or(u32::MAX).max(1)
    };
    let wider = u64::from(asked.0) * u64::from(height) > u64::from(asked.1) * u64::from(width);
    if wider == covers { (asked.0, scaled(height, asked.0, width)) } else { (scaled(width, asked.1, height), asked.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_looks_as_if_the_whole_had_been_scaled() {
        for (size, asked) in [
            ((200, 20), (20, 20)),
            ((200, 20), (16, 16)),
            ((20, 200), (16, 16)),
            ((300, 200), (31, 97)),
            ((30, 3), (50, 50)),
            ((7, 3), (50, 50)),
            ((2, 90), (40, 13)),
            ((4000, 1), (10, 10)),
        ] {
            let shade = |at: u32, of: u32| u8::try_from(at * 255 / of).expect("a shade");
            let image =
                image::RgbImage::from_fn(size.0, size.1, |x, y| image::Rgb([shade(x, size.0), shade(y, size.1), 90]));
            let image = DynamicImage::from(image);
            let full = proportional(size, asked, true);
            assert!(full.0 >= asked.0 && full.1 >= asked.1, "{size:?} for {asked:?}: {full:?}");
            let spare = (full.0 - asked.0, full.1 - asked.1);
            for begin in [(0, 0), (spare.0 / 2, spare.1 / 2), spare] {
                let whole = image.resize_exact(full.0, full.1, FILTER).crop_imm(begin.0, begin.1, asked.0, asked.1);
                let part = Fitting::part(size, full, begin, asked).apply(image.clone());
                assert_eq!((part.width(), part.height()), asked, "{size:?} at {begin:?}");
                let (whole, part) = (whole.to_rgb8(), part.to_rgb8());
                let apart = whole.as_raw().iter().zip(part.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart <= Some(3), "{size:?} for {asked:?} at {begin:?}: {apart:?} apart");
            }
        }
    }

    #[test]
    fn what_is_cut_off_takes_no_memory() {
        let (strip, square) = ((2_000_000, 16), (2500, 2500));
        let full = proportional(strip, square, true);
        let middle = Fitting::part(strip, full, ((full.0 - 2500) / 2, 0), square);
        assert!(middle.bytes(32_000_000, 1) < 50_000_000, "{middle:?}");
        assert!(Fitting::whole(strip, square).bytes(32_000_000, 1) > 80_000_000_000);
        assert_eq!(Fitting::whole(strip, strip).bytes(32_000_000, 1), 64_000_000);
        // No size is too large to be asked about.
        for (size, asked) in [((u32::MAX, 1), (2500, 2500)), ((1, u32::MAX), (1, 2500)), ((u32::MAX, u32::MAX), (1, 1))]
        {
            let full = proportional(size, asked, true);
            let far = (full.0 - asked.0, full.1 - asked.1);
            let _ = Fitting::part(size, full, far, asked).bytes(u64::MAX, 8);
        }
    }
}
