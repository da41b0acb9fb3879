//! Parquet files, a part of their rows at a time.

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;

use arrow_array::RecordBatchReader;
use arrow_schema::Schema;

use super::rows::{Columns, SCHEMA, detect};
use super::{TableOptions, Tally, guarded};
use crate::Detector;
use crate::error::Error;

/// Rows that are read at a time, at most, and bytes of their pictures by the mean of the file: they are in memory together.
const ROWS: usize = 64;
const BYTES: i64 = 64 << 20;
/// Rows of a group of the output, at most, and bytes: they are in memory until it is written.
const GROUP: usize = 1 << 16;
const GROUP_BYTES: usize = 32 << 20;

/// Detects in every picture of a Parquet file, and writes another with as many rows (Snappy). The output has its name only
/// when it is whole. `tell` hears of every part, with the number of rows in all.
///
/// # Errors
/// [`Error::Table`] where the input is no Parquet file, damaged, or has other columns; [`Error::Io`] where a file
/// cannot be read or written.
pub fn detect_parquet(
    detector: &Detector,
    input: &Path,
    output: &Path,
    options: &TableOptions,
    tell: &mut dyn FnMut(Tally, u64),
) -> Result<Tally, Error> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let name = input.display().to_string();
    let file = File::open(input).map_err(io(input))?;
    // A link stays one. What is no file is not replaced by one.
    let output = &output.canonicalize().unwrap_or_else(|_| output.to_owned());
    if output.exists() && !output.is_file() {
        let reason = "is there and is no file; name another to be written".into();
        return Err(Error::Table { name: output.display().to_string(), reason });
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let reason = "is no folder; make it first".into();
        return Err(Error::Table { name: folder.display().to_string(), reason });
    }
    let mut builder = guarded(&name, || ParquetRecordBatchReaderBuilder::try_new(file))?;
    let find =
        |schema: &Schema| Columns::find(schema).map_err(|reason| Error::Table { name: name.clone(), reason });
    let columns = find(builder.schema())?;
    let in_all = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let groups = builder.metadata().row_groups();
    let of_images: i64 = groups
        .iter()
        .filter_map(|group| group.columns().get(columns.image))
        .map(|c| c.uncompressed_size())
        .sum();
    let mean = of_images / i64::try_from(in_all).unwrap_or(1).max(1);
    let rows = usize::try_from(BYTES / mean.max(1)).unwrap_or(1).clamp(1, ROWS);
    let mask = ProjectionMask::roots(builder.parquet_schema(), [columns.id, columns.image]);
    builder = builder.with_projection(mask).with_batch_size(rows);
    let mut reader = guarded(&name, || builder.build())?;
    // Of the two columns that are read.
    let columns = find(&reader.schema())?;

    let mut beside = tempfile::Builder::new();
    beside.prefix(".sandglass-");
    // Readable for whom other files of this user are, not for the user alone.
    #[cfg(unix)]
    beside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let partial = beside.tempfile_in(folder).map_err(io(output))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let written = output.display().to_string();
    let file = partial.reopen().map_err(io(output))?;
    let mut writer =
        guarded(&written, || ArrowWriter::try_new(file, std::sync::Arc::clone(&SCHEMA), Some(properties)))?;
    let mut tally = Tally::default();
    while let Some(batch) = guarded(&name, || reader.next().transpose())? {
        let found = detect(detector, &batch, columns, options, &name, &mut tally)?;
        guarded(&written, || {
            writer.write(&found)?;
            if writer.in_progress_size() > GROUP_BYTES { writer.flush() } else { Ok(()) }
        })?;
        tell(tally, in_all);
    }
    guarded(&written, || writer.close())?;
    partial.persist(output).map_err(|error| io(output)(error.error))?;
    Ok(tally)
}
