//! What the load pushes: a pool of blobs and of images made of them, few enough that clients meet at the same ones.

use crate::client::image_manifest;
use crate::{Random, sha256};
use bytes::Bytes;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How many blobs, and of which sizes: mostly small, and some that take a multipart upload.
const SIZES: [(usize, u64, u64); 5] = [
    (24, 8, 4 * KIB),
    (10, 4 * KIB, 256 * KIB),
    (8, 256 * KIB, 2 * MIB),
    (3, 5 * MIB, 12 * MIB),
    (2, 17 * MIB, 24 * MIB),
];
const IMAGES: usize = 24;

pub(crate) struct Blob {
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
}

pub(crate) struct Image {
    pub(crate) manifest: Bytes,
    pub(crate) digest: String,
    /// Numbers of its configuration and its layers.
    pub(crate) blobs: Vec<usize>,
}

pub(crate) struct Content {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) images: Vec<Image>,
}

impl Content {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut blobs = Vec::new();
        for (count, least, most) in SIZES {
            for _ in 0..count {
                let size = random.between(least, most) as usize;
                let bytes = Bytes::from(random.bytes(size));
                blobs.push(Blob { digest: sha256(&bytes), bytes });
            }
        }
        let mut images: Vec<Image> = Vec::new();
        while images.len() < IMAGES {
            let image = image(&blobs, random);
            // A digest must tell which image it is.
            if images.iter().all(|other| other.digest != image.digest) {
                images.push(image);
            }
        }
        Self { blobs, images }
    }

    pub(crate) fn image_of(&self, digest: &str) -> Option<usize> {
        self.images.iter().position(|image| image.digest == digest)
    }
}

/// The configuration is one of the small blobs.
fn image(blobs: &[Blob], random: &mut Random) -> Image {
    let mut numbers = vec![random.below(SIZES[0].0 as u64) as usize];
    for _ in 0..random.between(1, 3) {
        numbers.push(random.below(blobs.len() as u64) as usize);
    }
    let described = |number: &usize| (blobs[*number].digest.as_str(), blobs[*number].bytes.len() as u64);
    let layers: Vec<_> = numbers[1..].iter().map(described).collect();
    let manifest = image_manifest(described(&numbers[0]), &layers);
    Image { digest: sha256(&manifest), manifest, blobs: numbers }
}
