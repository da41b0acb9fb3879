//! A batch of rows: checked on the way in, detected in, and written as the columns of the output.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ArrayBuilder, Float32Builder, Float64Builder, Int32Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};

use super::{TableOptions, Tally, guarded};
use crate::error::Error;
use crate::pipeline::Opened;
use crate::source::{Detail, decode_image};
use crate::{Detections, Detector};

const ID: &str = "id";
const IMAGE: &str = "image";

/// Text of a batch of the output, at most: its offsets are of 31 bits.
const MOST_TEXT: usize = 1 << 30;

/// What the output looks like.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let item = Field::new("item", DataType::Struct(detection_fields()), true);
    Arc::new(Schema::new(vec![
        Field::new(ID, DataType::Utf8, true),
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("detections", DataType::List(Arc::new(item)), true),
        Field::new("milliseconds", DataType::Float64, true),
        Field::new("error", DataType::Utf8, true),
    ]))
});

fn detection_fields() -> Fields {
    let number = |name| Field::new(name, DataType::Float32, true);
    Fields::from(vec![
        Field::new("label", DataType::Utf8, true),
        // Spark has no numbers without a sign.
        Field::new("class_id", DataType::Int32, true),
        number("score"),
        number("x1"),
        number("y1"),
        number("x2"),
        number("y2"),
    ])
}

/// Where the columns of an input are, checked for what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) id: usize,
    pub(super) image: usize,
}

impl Columns {
    pub(super) fn find(schema: &Schema) -> Result<Self, String> {
        let find = |name: &str, kind: &str, fits: fn(&DataType) -> bool| {
            let Ok(index) = schema.index_of(name) else {
                let there: Vec<_> =
                    schema.fields().iter().take(20).map(|field| field.name().as_str()).collect();
                return Err(format!(
                    "has no column {name:?} ({kind}); its columns are: {}",
                    there.join(", ")
                ));
            };
            match schema.field(index).data_type() {
                found if fits(found) => Ok(index),
                found => Err(format!("column {name:?} is of type {found}; {kind} was expected")),
            }
        };
        let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let is_bytes =
            |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
        Ok(Self { id: find(ID, "text", is_text)?, image: find(IMAGE, "binary", is_bytes)? })
    }
}

/// A row of the input.
type Row<'a> = (Option<&'a str>, Option<&'a [u8]>);

/// The detections of a batch of pictures, as a batch of the output; `name` is what errors call the table.
pub(super) fn detect(
    detector: &Detector,
    batch: &RecordBatch,
    columns: Columns,
    options: &TableOptions,
    name: &str,
    tally: &mut Tally,
) -> Result<RecordBatch, Error> {
    let wrong = |reason: String| Error::Table { name: name.to_owned(), reason };
    let rows = guarded(name, || {
        let missing = || ArrowError::SchemaError("a column is missing".into());
        let ids = batch.columns().get(columns.id).ok_or_else(missing)?;
        let images = batch.columns().get(columns.image).ok_or_else(missing)?;
        let rows: Vec<Row<'_>> = texts(ids.as_ref())?.into_iter().zip(bytes(images.as_ref())?).collect();
        Ok::<_, ArrowError>(rows)
    })?;
    if rows.iter().map(|(id, _)| id.map_or(0, str::len)).sum::<usize>() > MOST_TEXT {
        return Err(wrong(format!("a batch has more than {MOST_TEXT} bytes of ids")));
    }
    let found = detector.detect_each(&rows, |(_, image)| match image {
        // What an error calls the picture stands in its row.
        Some(image) => decode_image(image, Path::new("the picture"), Detail::Reduced).map(Opened::Frame),
        None => Err(Error::Source("the picture is null".into())),
    })?;
    let mut output = Output::default();
    for ((id, _), found) in rows.iter().zip(&found) {
        tally.rows += 1;
        tally.failed += u64::from(found.is_err());
        output.add(*id, found, options);
    }
    guarded(name, || output.finish())
}

fn texts(column: &dyn Array) -> Result<Vec<Option<&str>>, ArrowError> {
    Ok(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().collect(),
        DataType::Utf8View => column.as_string_view().iter().collect(),
        other => return Err(ArrowError::SchemaError(format!("the type of a column has become {other}"))),
    })
}

fn bytes(column: &dyn Array) -> Result<Vec<Option<&[u8]>>, ArrowError> {
    Ok(match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().iter().collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().collect(),
        DataType::BinaryView => column.as_binary_view().iter().collect(),
        other => return Err(ArrowError::SchemaError(format!("the type of a column has become {other}"))),
    })
}

/// The columns of the output, growing by a row at a time.
struct Output {
    ids: StringBuilder,
    widths: Int32Builder,
    heights: Int32Builder,
    labels: StringBuilder,
    class_ids: Int32Builder,
    /// Score, x1, y1, x2, y2.
    numbers: [Float32Builder; 5],
    /// By row, how many detections there are up to its end, or the same as before and none.
    ends: Vec<Option<usize>>,
    milliseconds: Float64Builder,
    errors: StringBuilder,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            ids: StringBuilder::new(),
            widths: Int32Builder::new(),
            heights: Int32Builder::new(),
            labels: StringBuilder::new(),
            class_ids: Int32Builder::new(),
            numbers: std::array::from_fn(|_| Float32Builder::new()),
            ends: Vec::new(),
            milliseconds: Float64Builder::new(),
            errors: StringBuilder::new(),
        }
    }
}

impl Output {
    fn add(&mut self, id: Option<&str>, found: &Result<Detections, Error>, options: &TableOptions) {
        self.ids.append_option(id);
        let found = found.as_ref();
        // Sides have 16,384 pixels at most.
        self.widths.append_option(found.ok().map(|found| found.width as i32));
        self.heights.append_option(found.ok().map(|found| found.height as i32));
        let timing = found.ok().filter(|_| !options.no_timing).map(|found| found.timing.total());
        self.milliseconds.append_option(timing.map(|time| time.as_micros() as f64 / 1e3));
        self.errors.append_option(found.err().map(ToString::to_string));
        for item in found.ok().into_iter().flat_map(|found| &found.items) {
            self.labels.append_value(&item.label);
            self.class_ids.append_value(i32::try_from(item.class_id).unwrap_or(i32::MAX));
            let bounds = item.bounds;
            let values = [item.score, bounds.x1, bounds.y1, bounds.x2, bounds.y2];
            self.numbers.iter_mut().zip(values).for_each(|(builder, value)| builder.append_value(value));
        }
        self.ends.push(found.ok().map(|_| self.labels.len()));
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let mut fields: Vec<ArrayRef> =
            vec![Arc::new(self.labels.finish()), Arc::new(self.class_ids.finish())];
        fields.extend(self.numbers.map(|mut numbers| Arc::new(numbers.finish()) as ArrayRef));
        let items = StructArray::try_new(detection_fields(), fields, None)?;
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        for end in &self.ends {
            offsets.push(end.unwrap_or_else(|| offsets.last().copied().unwrap_or(0)));
        }
        let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
        let nulls = self.ends.iter().map(Option::is_some).collect::<Vec<_>>();
        let lists = ListArray::try_new(
            Arc::new(Field::new("item", DataType::Struct(detection_fields()), true)),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(items),
            Some(nulls.into()),
        )?;
        RecordBatch::try_new(
            Arc::clone(&SCHEMA),
            vec![
                Arc::new(self.ids.finish()),
                Arc::new(self.widths.finish()),
                Arc::new(self.heights.finish()),
                Arc::new(lists),
                Arc::new(self.milliseconds.finish()),
                Arc::new(self.errors.finish()),
            ],
        )
    }
}
