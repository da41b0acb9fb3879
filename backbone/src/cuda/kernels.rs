//! The kernels' source, and what a pinned compiler made of it.

use std::io::Read;

use super::schedule::Precision;

/// Kernels that are compiled together.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What it is called in messages and in names of files.
    pub name: &'static str,
    /// Its parts in order: file names with their text.
    pub files: &'static [(&'static str, &'static str)],
    /// The names of the kernels in it.
    pub kernels: &'static [&'static str],
    /// More of them, in 16 and 32 bits alone.
    pub float_kernels: &'static [&'static str],
    /// A zip archive with its PTX, `NAME-PRECISION-ARCHITECTURE.ptx`, which the tests make of it with `UPDATE_PTX=1`.
    pub archive: &'static [u8],
}

/// The engine's own kernels, in every precision.
pub const KERNELS: Source = Source {
    name: "backbone",
    files: &[
        ("common.cuh", COMMON),
        ("float.cuh", include_str!("kernels/float.cuh")),
        ("int8.cuh", include_str!("kernels/int8.cuh")),
        ("depthwise.cuh", include_str!("kernels/depthwise.cuh")),
        ("stem.cu", include_str!("kernels/stem.cu")),
        ("depthwise.cu", include_str!("kernels/depthwise.cu")),
        ("pointwise.cu", include_str!("kernels/pointwise.cu")),
        ("depthwise_pointwise.cu", include_str!("kernels/depthwise_pointwise.cu")),
        ("pointwise_depthwise.cu", include_str!("kernels/pointwise_depthwise.cu")),
        ("sandglass.cu", include_str!("kernels/sandglass.cu")),
        ("inverted_residual.cu", include_str!("kernels/inverted_residual.cu")),
        ("mean.cu", include_str!("kernels/mean.cu")),
    ],
    kernels: &[
        "stem_pixels",
        "stem_values",
        "depthwise",
        "pointwise",
        "depthwise_pointwise",
        "pointwise_depthwise",
        "sandglass_32",
        "sandglass_64",
        "sandglass_96",
        "sandglass_160",
        "inverted_residual_32",
        "inverted_residual_64",
        "inverted_residual_96",
        "inverted_residual_160",
        "mean",
    ],
    float_kernels: &["unpack"],
    archive: include_bytes!("kernels/backbone.zip"),
};

/// What every source may begin with: the types of maps, copies, products.
pub const COMMON: &str = include_str!("kernels/common.cuh");

/// Architectures for which PTX is shipped, by precision: compute capability × 10. A newer device takes the
/// highest that is not above it.
#[must_use]
pub const fn architectures(precision: Precision) -> &'static [u32] {
    match precision {
        // From 80 on there are asynchronous copies and larger products.
        Precision::F16 | Precision::I8 => &[75, 80],
        Precision::F32 => &[75],
    }
}

impl Source {
    /// All of it as one text, each file announced to the compiler for its messages.
    #[must_use]
    pub fn text(&self) -> String {
        let file = |(name, text): &(&str, &str)| format!("#line 1 \"{name}\"\n{text}");
        self.files.iter().map(file).collect()
    }

    /// The names of the kernels it has in a precision.
    pub fn names(&self, precision: Precision) -> impl Iterator<Item = &'static str> + use<> {
        let float: &[_] = if precision == Precision::I8 { &[] } else { self.float_kernels };
        self.kernels.iter().chain(float).copied()
    }

    /// What a compiler has to be told.
    #[must_use]
    pub fn options(precision: Precision) -> &'static [&'static str] {
        match precision {
            Precision::F16 => &["-std=c++17", "-default-device"],
            Precision::F32 => &["-std=c++17", "-default-device", "-DSANDGLASS_F32"],
            Precision::I8 => &["-std=c++17", "-default-device", "-DSANDGLASS_INT8"],
        }
    }

    /// The name under which the archive has the PTX.
    #[must_use]
    pub fn entry(&self, precision: Precision, architecture: u32) -> String {
        let precision = match precision {
            Precision::F16 => "f16",
            Precision::F32 => "f32",
            Precision::I8 => "int8",
        };
        format!("{}-{precision}-{architecture}.ptx", self.name)
    }

    /// The shipped PTX for a device of `capability` (× 10), where there is one.
    #[must_use]
    pub fn ptx(&self, precision: Precision, capability: u32) -> Option<String> {
        let architecture = architectures(precision).iter().rev().find(|a| **a <= capability)?;
        self.shipped(&self.entry(precision, *architecture))
    }

    /// A file of the archive.
    #[must_use]
    pub fn shipped(&self, entry: &str) -> Option<String> {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(self.archive)).ok()?;
        let mut text = String::new();
        archive.by_name(entry).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }
}
