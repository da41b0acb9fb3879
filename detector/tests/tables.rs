//! Streams and tables of pictures, through the command: Arrow, Parquet, and lists of paths.

#[cfg(test)]
mod tables {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output, Stdio};
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Int32Type};
    use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
    use arrow_ipc::reader::StreamReader;
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{DataType, Field, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn photo(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo").join(name)
    }

    fn bytes(name: &str) -> Vec<u8> {
        std::fs::read(photo(name)).unwrap()
    }

    /// Two pictures, one that is none, one that is not there, and one more.
    fn batches() -> Vec<RecordBatch> {
        let batch = |rows: &[(Option<&str>, Option<Vec<u8>>)]| {
            let ids: ArrayRef = Arc::new(rows.iter().map(|(id, _)| *id).collect::<StringArray>());
            let images: BinaryArray = rows.iter().map(|(_, image)| image.as_deref()).collect();
            let more: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows.len() as i64));
            RecordBatch::try_from_iter_with_nullable([
                ("more", more, true),
                ("image", Arc::new(images) as ArrayRef, true),
                ("id", ids, true),
            ])
            .unwrap()
        };
        vec![
            batch(&[
                (Some("cat"), Some(bytes("chelsea.jpg"))),
                (Some("none"), Some(b"no picture".to_vec())),
                (Some("null"), None),
                (None, Some(bytes("astronaut.jpg"))),
            ]),
            batch(&[(Some("again"), Some(bytes("chelsea.jpg")))]),
        ]
    }

    fn stream(batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    fn run(arguments: &[&str], input: Vec<u8>) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"))
            .args(arguments)
            .args(["--device", "cpu"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            // A program that has seen enough closes its end.
            let _ = pipe.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    fn words(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn check_rows(found: &[RecordBatch], sizes: &[usize]) {
        assert_eq!(found.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), sizes);
        let found = arrow_select::concat::concat_batches(&found[0].schema(), found).unwrap();
        let names: Vec<_> = found.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "width", "height", "detections", "milliseconds", "error"]);
        let ids: Vec<_> = found["id"].as_string::<i32>().iter().collect();
        assert_eq!(ids, [Some("cat"), Some("none"), Some("null"), None, Some("again")]);
        let errors = found["error"].as_string::<i32>();
        assert!(
            errors.value(1).contains("is not a picture") && errors.value(2).contains("null"),
            "{errors:?}"
        );
        let bad = [false, true, true, false, false];
        for (row, bad) in bad.into_iter().enumerate() {
            assert_eq!((errors.is_valid(row), found["detections"].is_null(row)), (bad, bad), "row {row}");
        }
        let (widths, heights) =
            (found["width"].as_primitive::<Int32Type>(), found["height"].as_primitive::<Int32Type>());
        assert_eq!((widths.value(0), heights.value(0)), (451, 300));
        let best = |row: usize| {
            let list = found["detections"].as_list::<i32>().value(row);
            let list = list.as_struct();
            let number =
                |name: &str| list.column_by_name(name).unwrap().as_primitive::<Float32Type>().value(0);
            let label = list.column_by_name("label").unwrap().as_string::<i32>().value(0).to_owned();
            (label, ["score", "x1", "y1", "x2", "y2"].map(number))
        };
        let (label, [score, x1, _, x2, _]) = best(0);
        assert!(label == "cat" && score > 0.5 && x2 - x1 > 200.0, "{label} {score} {x1} {x2}");
        assert_eq!(best(0), best(4), "the same picture");
        assert_eq!(best(3).0, "person");
    }

    #[test]
    fn an_arrow_stream_has_a_row_for_each_picture() {
        let output = run(&["--arrow"], stream(&batches()));
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains("2 of 5 rows failed"), "{}", words(&output));
        let reader = StreamReader::try_new(output.stdout.as_slice(), None).unwrap();
        let found: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        check_rows(&found, &[4, 1]);
        assert_eq!(found[0]["milliseconds"].null_count(), 2);
    }

    #[test]
    fn a_parquet_file_becomes_another() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["in.parquet", "out.parquet"].map(|name| folder.path().join(name));
        let batches = batches();
        let mut writer =
            ArrowWriter::try_new(File::create(&from).unwrap(), batches[0].schema(), None).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        let [from, to] = [&from, &to].map(|path| path.to_str().unwrap());
        let output = run(&["--parquet", from, "--save", to], Vec::new());
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(to).unwrap()).unwrap();
        let found: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        check_rows(&found, &[5]);

        // Onto itself: what was read from stays what it was until the end.
        assert_eq!(run(&["--parquet", from, "--save", from], Vec::new()).status.code(), Some(1));
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(from).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 5);
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 2, "nothing is left over");
    }

    #[test]
    fn the_same_pictures_give_the_same_bytes() {
        let batches = batches();
        let rows: Vec<RecordBatch> = (0..6).map(|n| batches[0].slice(n % 4, 1)).collect();
        let many = arrow_select::concat::concat_batches(&rows[0].schema(), &rows).unwrap();
        let input = stream(&[many]);
        let bytes = |threads: &str| {
            let output = run(&["--arrow", "--no-timing", "--threads", threads], input.clone());
            assert!(output.status.code().is_some_and(|code| code < 2), "{}", words(&output));
            output.stdout
        };
        let one = bytes("1");
        assert_eq!(one, bytes("1"));
        assert_eq!(one, bytes("3"));
        // In batches of a row each: the same rows.
        let reader = |bytes: &[u8]| {
            let rows = StreamReader::try_new(bytes, None).unwrap().map(Result::unwrap).collect::<Vec<_>>();
            arrow_select::concat::concat_batches(&rows[0].schema(), &rows).unwrap()
        };
        let output = run(&["--arrow", "--no-timing", "--threads", "2"], stream(&rows));
        assert_eq!(reader(&output.stdout), reader(&one));
        // And so are lines, with all threads on one picture, or one each.
        let lines = |threads: &str, more: &[&str]| {
            let pictures = [photo("chelsea.jpg"), photo("astronaut.jpg"), photo("chelsea.jpg")];
            let list: Vec<_> = pictures.iter().map(|path| path.to_str().unwrap()).collect();
            let arguments = ["--json", "-", "--no-timing", "--threads", threads];
            run(&[&arguments, more, &list].concat(), Vec::new()).stdout
        };
        let folder = tempfile::tempdir().unwrap();
        let saved = ["--save", folder.path().to_str().unwrap()];
        assert_eq!(lines("1", &[]), lines("2", &[]));
        assert_eq!(lines("1", &[]), lines("2", &saved));
    }

    #[test]
    fn what_is_no_table_is_told() {
        let whole = stream(&batches());
        let told = |input: Vec<u8>| {
            let output = run(&["--arrow"], input);
            assert_eq!(output.status.code(), Some(2), "{}", words(&output));
            words(&output)
        };
        assert!(told(Vec::new()).contains("is empty"));
        assert!(told(b"id,image\n1,a.jpg\n".to_vec()).contains("standard input"));
        let cut = told(whole[..whole.len() * 2 / 3].to_vec());
        assert!(cut.contains("standard input") && cut.contains("rows"), "{cut}");
        // A message that claims to have more bytes than there is memory.
        assert!(told([&[0xff; 4][..], &i32::MAX.to_le_bytes()].concat()).contains("standard input"));
        let column = |name: &str, array: ArrayRef| RecordBatch::try_from_iter([(name, array)]).unwrap();
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a.jpg"]));
        let no_image = told(stream(&[column("id", Arc::clone(&names))]));
        assert!(no_image.contains("no column \"image\""), "{no_image}");
        let fields = ["id", "image"].map(|name| Field::new(name, DataType::Utf8, true));
        let text = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![names.clone(), names]);
        let no_bytes = told(stream(&[text.unwrap()]));
        assert!(no_bytes.contains("column \"image\" is of type Utf8"), "{no_bytes}");

        assert!(told(b"ARROW1\0\0".to_vec()).contains("an Arrow file; a stream"));

        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(file("a.parquet"), b"PAR1 and so on PAR1").unwrap();
        let output = run(&["--parquet", &file("a.parquet"), "--save", &file("b.parquet")], Vec::new());
        assert!(
            output.status.code() == Some(2) && words(&output).contains("a.parquet"),
            "{}",
            words(&output)
        );
        assert!(!Path::new(&file("b.parquet")).exists());
        assert_eq!(run(&["--parquet", &file("a.parquet")], Vec::new()).status.code(), Some(2));
        // Where nothing can be written, nothing is begun.
        for (to, says) in [(file(""), "is no file"), (file("none/b.parquet"), "make it first")] {
            let output = run(&["--parquet", &file("a.parquet"), "--save", &to], Vec::new());
            assert!(output.status.code() == Some(2) && words(&output).contains(says), "{}", words(&output));
        }
    }

    #[test]
    fn lines_are_answered_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.jpg");
        std::fs::write(&bad, b"no picture").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"))
            .args(["--stdin-paths", "--json", "-", "--threads", "1", "--device", "cpu"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut from = BufReader::new(from);
        let mut ask = |path: &Path| {
            writeln!(to, "{}", path.display()).unwrap();
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            serde_json::from_str::<serde_json::Value>(&line).unwrap()
        };
        assert_eq!(ask(&photo("chelsea.jpg"))["detections"][0]["label"], "cat");
        let failed = ask(&bad);
        assert!(failed["error"].as_str().unwrap().contains("bad.jpg"), "{failed}");
        assert_eq!(ask(&photo("astronaut.jpg"))["detections"][0]["label"], "person");
        // One thread is what was asked for, and it is all there is.
        #[cfg(target_os = "linux")]
        {
            let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
            assert_eq!(threads, 1);
        }
        drop(to);
        assert_eq!(child.wait().unwrap().code(), Some(1), "one of them failed");
    }

    /// Rows without pictures, so that what is tried is the reading of tables.
    fn small_batch() -> RecordBatch {
        let ids: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        let images: BinaryArray = [Some(&b"none"[..]), None, Some(b"")].into_iter().collect();
        RecordBatch::try_from_iter_with_nullable([
            ("id", ids, true),
            ("image", Arc::new(images) as ArrayRef, true),
        ])
        .unwrap()
    }

    /// The same bytes with some changed, or cut short; the same each time.
    fn damaged(whole: &[u8], number: u32) -> Vec<u8> {
        let mut dice = number.wrapping_mul(2_654_435_761) | 1;
        let mut below = |limit: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 17;
            dice ^= dice << 5;
            dice as usize % limit
        };
        let mut bytes = whole.to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            bytes[at] = [0, 0xff, 0x7f, 0x80, below(256) as u8][below(5)];
        }
        if below(8) == 0 {
            bytes.truncate(below(whole.len()));
        }
        bytes
    }

    #[test]
    fn damaged_tables_end_in_an_error_or_in_rows() {
        use sandglass_detector::table::{TableOptions, detect_ipc, detect_parquet};
        let builder = sandglass_detector::Detector::builder().backbone("mobilenet-v1-0.25").threads(1);
        let detector = builder.device(sandglass_detector::Device::Cpu).build().unwrap();
        let batch = small_batch();
        let whole = stream(&[batch.clone(), batch.clone()]);
        let (mut good, mut bad) = (0, 0);
        let mut count = |fine: bool| if fine { good += 1 } else { bad += 1 };
        for number in 0..4000 {
            let bytes = damaged(&whole, number);
            let options = TableOptions::default();
            let outcome = detect_ipc(&detector, &bytes[..], Vec::new(), "damaged", &options, &mut |_| ());
            count(outcome.is_ok());
        }
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["in.parquet", "out.parquet"].map(|name| folder.path().join(name));
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let whole = writer.into_inner().unwrap();
        for number in 0..1500 {
            std::fs::write(&from, damaged(&whole, number)).unwrap();
            let outcome = detect_parquet(&detector, &from, &to, &TableOptions::default(), &mut |_, _| ());
            count(outcome.is_ok());
        }
        assert!(good > 100 && bad > 1000, "{good} were read, {bad} were not");
    }

    /// However long a stream is, what is in memory stays.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_long_stream_takes_no_more_memory_than_a_short_one() {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"))
            .args(["--arrow", "--threads", "1", "--device", "cpu", "--backbone", "mobilenet-v1-0.25"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let resident = |id: u32| {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1000
        };
        // Two megabytes a row, of which most are in a column that nobody asked for.
        let filling = vec![7_u8; 2_000_000];
        let (id, image): (ArrayRef, BinaryArray) =
            (Arc::new(StringArray::from(vec!["a"])), std::iter::once(Some(bytes("chelsea.jpg"))).collect());
        let filling: BinaryArray = std::iter::once(Some(filling)).collect();
        let columns =
            [("id", id), ("image", Arc::new(image) as ArrayRef), ("filling", Arc::new(filling) as ArrayRef)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = StreamWriter::try_new(child.stdin.take().unwrap(), &batch.schema()).unwrap();
        let mut reader = None;
        let mut output = child.stdout.take();
        let mut megabytes = Vec::new();
        for _ in 0..60 {
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
            let reader =
                reader.get_or_insert_with(|| StreamReader::try_new(output.take().unwrap(), None).unwrap());
            assert_eq!(reader.next().unwrap().unwrap().num_rows(), 1);
            megabytes.push(resident(child.id()));
        }
        writer.finish().unwrap();
        drop(writer);
        assert!(child.wait().unwrap().success());
        assert!(megabytes[59] < megabytes[9] + 20, "100 MB went through: {megabytes:?}");
    }
}
