//! Tables of pictures in, tables of detections out: Arrow streams and Parquet files, one row a picture.
//!
//! In: `id` (text) and `image` (binary: the content of a picture file). Out, in the same order: `id`, `width` and `height` in
//! pixels, `detections` (a list of `label`, `class_id`, `score`, `x1`, `y1`, `x2`, `y2`), `milliseconds`, `error`. A picture
//! that cannot be used is a row whose `error` says why, and whose other columns are null. However long a table is, of the
//! input no more than a batch is in memory, of the output a batch or, in Parquet, a group of rows.

mod ipc;
mod parquet;
mod rows;

use std::fmt::Display;

pub use ipc::detect_ipc;
pub use parquet::detect_parquet;

use crate::error::Error;
use crate::foreign;

/// What of the results is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Leave `milliseconds` null, so that the same pictures give the same bytes.
    pub no_timing: bool,
}

/// What came of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows, all of which have a row in the output.
    pub rows: u64,
    /// Those whose picture could not be used.
    pub failed: u64,
}

/// Calls the Arrow libraries: they check what they read, and where that fails they may still panic.
fn guarded<T, E: Display>(name: &str, call: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
    let wrong = |reason: String| Error::Table { name: name.to_owned(), reason };
    match foreign::catch(call) {
        Ok(outcome) => outcome.map_err(|error| wrong(error.to_string())),
        Err(_) => Err(wrong("is damaged in a way that its reader did not expect".into())),
    }
}
