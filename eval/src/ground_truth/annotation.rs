//! The text of one VOC annotation: `<annotation>` with `<object>` children.
//!
//! A stream parser without recursion: neither deep nesting nor entities can make it use more memory
//! than the file has. Entities other than XML's own five are refused instead of expanded.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::pixel_box::PixelBox;

/// How deep elements may lie in each other; VOC's own files reach 5.
const MAX_DEPTH: usize = 64;

/// An object as it stands in the file. Whether its box makes sense is for the caller to say.
#[derive(Debug, PartialEq)]
pub(super) struct Annotated {
    pub(super) class: String,
    pub(super) difficult: bool,
    pub(super) bounds: PixelBox,
}

/// Why a text is no annotation.
#[derive(Debug)]
pub(super) struct Problem {
    /// The object it is about, counted from 1, with its class as far as known.
    pub(super) object: Option<(usize, String)>,
    pub(super) reason: String,
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self { object: None, reason }
    }
}

/// An element by its name, as far as scoring needs it.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Annotation,
    FileName,
    Object,
    Name,
    Difficult,
    Bounds,
    /// `xmin`, `ymin`, `xmax` or `ymax`, as an index into [`CORNERS`].
    Corner(usize),
    Other,
}

const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

impl Tag {
    fn new(name: &str) -> Self {
        match name {
            "annotation" => Self::Annotation,
            "filename" => Self::FileName,
            "object" => Self::Object,
            "name" => Self::Name,
            "difficult" => Self::Difficult,
            "bndbox" => Self::Bounds,
            _ => CORNERS.iter().position(|&c| c == name).map_or(Self::Other, Self::Corner),
        }
    }
}

/// The object being read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    difficult: Option<String>,
    has_bounds: bool,
    corners: [Option<String>; 4],
}

impl Draft {
    /// The field that the element at `path` fills. Its place is checked, not its name alone: a
    /// `<part>` of an object has a name and a box of its own.
    fn field(&mut self, path: &[Tag]) -> Option<&mut Option<String>> {
        match path {
            [Tag::Annotation, Tag::Object, Tag::Name] => Some(&mut self.name),
            [Tag::Annotation, Tag::Object, Tag::Difficult] => Some(&mut self.difficult),
            [Tag::Annotation, Tag::Object, Tag::Bounds, Tag::Corner(corner)] => self.corners.get_mut(*corner),
            _ => None,
        }
    }

    fn class(&self) -> String {
        self.name.as_deref().unwrap_or_default().trim().to_owned()
    }

    fn finish(&self) -> Result<Annotated, String> {
        let class = self.class();
        if class.is_empty() {
            return Err("it has no <name>".into());
        }
        if !self.has_bounds {
            return Err("it has no <bndbox>".into());
        }
        let mut corners = [0.0; 4];
        for ((value, text), name) in corners.iter_mut().zip(&self.corners).zip(CORNERS) {
            let text = text.as_deref().ok_or_else(|| format!("its <bndbox> has no <{name}>"))?.trim();
            *value = text.parse().map_err(|_| format!("<{name}> is {text:?}, not a number"))?;
        }
        let difficult = self.difficult.as_deref().is_some_and(|d| d.trim() == "1");
        Ok(Annotated { class, difficult, bounds: PixelBox::from_corners(corners) })
    }
}

/// How far into the file the parser is.
#[derive(Default)]
struct State {
    /// The elements it is inside of, outermost first.
    path: Vec<Tag>,
    seen_root: bool,
    file_name: String,
    draft: Draft,
    objects: Vec<Annotated>,
}

impl State {
    fn about_object(&self, reason: String) -> Problem {
        Problem { object: Some((self.objects.len() + 1, self.draft.class())), reason }
    }

    fn open(&mut self, name: &str) -> Result<(), Problem> {
        if self.path.len() == MAX_DEPTH {
            return Err(format!("elements are nested more than {MAX_DEPTH} deep").into());
        }
        let tag = Tag::new(name);
        if self.path.is_empty() {
            if self.seen_root || tag != Tag::Annotation {
                return Err(
                    format!("the file must hold one <annotation> and nothing else, it has <{name}>").into()
                );
            }
            self.seen_root = true;
        }
        self.path.push(tag);
        let repeated = match self.path.as_slice() {
            [Tag::Annotation, Tag::Object, Tag::Bounds] => {
                std::mem::replace(&mut self.draft.has_bounds, true)
            }
            path => match self.draft.field(path) {
                // From here on the field has a text, even if an empty one, and a second element is seen.
                Some(field @ None) => {
                    *field = Some(String::new());
                    false
                }
                Some(Some(_)) => true,
                None => false,
            },
        };
        if repeated { Err(self.about_object(format!("it has <{name}> twice"))) } else { Ok(()) }
    }

    fn text(&mut self, piece: &str) {
        if self.path == [Tag::Annotation, Tag::FileName] {
            self.file_name.push_str(piece);
        } else if let Some(Some(text)) = self.draft.field(&self.path) {
            text.push_str(piece);
        }
    }

    fn close(&mut self) -> Result<(), Problem> {
        if self.path == [Tag::Annotation, Tag::Object] {
            let object = self.draft.finish().map_err(|reason| self.about_object(reason))?;
            self.draft = Draft::default();
            self.objects.push(object);
        }
        self.path.pop();
        Ok(())
    }

    fn end(self) -> Result<Vec<Annotated>, Problem> {
        if !self.path.is_empty() {
            return Err("the file ends in the middle of an element".to_owned().into());
        }
        if !self.seen_root {
            return Err("the file has no <annotation>".to_owned().into());
        }
        // Pictures are found by the list's names, never by this one; but a file that tries to lead
        // out of its folder is not to be trusted with the rest either.
        if self.file_name.trim().split(['/', '\\']).any(|part| part == "..") {
            return Err(format!("its <filename> {:?} leads out of the folder", self.file_name.trim()).into());
        }
        Ok(self.objects)
    }
}

/// The objects of an annotation, in file order.
pub(super) fn parse(text: &str) -> Result<Vec<Annotated>, Problem> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut state = State::default();
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(element) => state.open(element.name().as_ref())?,
            Event::Empty(element) => {
                state.open(element.name().as_ref())?;
                state.close()?;
            }
            Event::End(_) => state.close()?,
            Event::Text(piece) => state.text(&piece),
            Event::CData(piece) => state.text(&piece),
            Event::GeneralRef(reference) => {
                if let Some(character) = reference.resolve_char_ref().map_err(malformed)? {
                    state.text(character.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = resolve_xml_entity(&reference) {
                    state.text(text);
                } else {
                    let name: &str = &reference;
                    return Err(format!("the entity &{name}; is not expanded: write its text instead").into());
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => return state.end(),
        }
    }
}

fn malformed(error: quick_xml::Error) -> Problem {
    format!("not well-formed XML: {error}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: &str = "<bndbox><xmax>4</xmax><ymin>2</ymin><xmin>1.5</xmin><ymax> 4e0 </ymax></bndbox>";

    fn object(inner: &str) -> Result<Annotated, Problem> {
        let text = format!("<annotation><object>{inner}</object></annotation>");
        parse(&text).map(|mut all| all.remove(0))
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().reason
    }

    #[test]
    fn fields_in_any_order_and_fractional() {
        let cat = object(&format!("{BOX}<pose>Left</pose><name> cat </name>")).unwrap();
        let bounds = PixelBox::from_corners([1.5, 2.0, 4.0, 4.0]);
        assert_eq!(cat, Annotated { class: "cat".into(), difficult: false, bounds });
    }

    #[test]
    fn difficult_is_exactly_one() {
        for (text, difficult) in [("1", true), ("\n 1 ", true), ("0", false), ("true", false), ("2", false)] {
            let inner = format!("<name>a</name><difficult>{text}</difficult>{BOX}");
            assert_eq!(object(&inner).unwrap().difficult, difficult, "{text}");
        }
        assert!(object(&format!("<name>a</name><difficult>&#49;</difficult>{BOX}")).unwrap().difficult);
        assert!(!object(&format!("<name>a</name><difficult/>{BOX}")).unwrap().difficult);
    }

    #[test]
    fn parts_and_nested_annotations_are_no_objects() {
        let part = "<part><name>head</name><difficult>1</difficult><bndbox><xmin>7</xmin></bndbox></part>";
        let source = "<source><annotation><object/></annotation></source>";
        let text =
            format!("<annotation>{source}<object>{part}<name>person</name>{BOX}</object></annotation>");
        let all = parse(&text).unwrap();
        assert_eq!((all.len(), all[0].class.as_str(), all[0].difficult), (1, "person", false));
        assert!(parse("<annotation/>").unwrap().is_empty());
    }

    #[test]
    fn text_in_pieces_is_put_together() {
        let inner = format!("<name>a&amp;<![CDATA[<b>]]><!-- no -->c</name>{BOX}");
        assert_eq!(object(&inner).unwrap().class, "a&<b>c");
    }

    #[test]
    fn bad_objects_are_named() {
        let number = |xmin: &str| {
            format!("<bndbox><xmin>{xmin}</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>")
        };
        for (inner, says) in [
            (BOX.to_owned(), "no <name>"),
            ("<name>cat</name>".to_owned(), "no <bndbox>"),
            ("<name>cat</name><bndbox><xmin>1</xmin></bndbox>".to_owned(), "no <ymin>"),
            (format!("<name>cat</name>{}", number("one")), "not a number"),
            (format!("<name>cat</name><name>dog</name>{BOX}"), "<name> twice"),
            (format!("<name>cat</name>{BOX}{BOX}"), "<bndbox> twice"),
        ] {
            let good = format!("<object><name>a</name>{BOX}</object>");
            let problem =
                parse(&format!("<annotation>{good}<object>{inner}</object></annotation>")).unwrap_err();
            assert!(problem.reason.contains(says), "{inner}: {}", problem.reason);
            let (number, class) = problem.object.unwrap();
            assert_eq!(number, 2, "{inner}");
            assert!(class == "cat" || !inner.contains("cat"), "{inner}: {class}");
        }
    }

    #[test]
    fn bad_xml_is_refused() {
        for text in ["", "hello", "<annotations/>", "<annotation>", "<annotation><object></annotation>"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let escape = refusal("<annotation><filename>../../etc/passwd</filename></annotation>");
        assert!(escape.contains("leads out"), "{escape}");
        assert!(parse("<annotation><filename>a..b/c.jpg</filename></annotation>").is_ok());
        assert!(refusal("<annotation/><annotation/>").contains("one <annotation>"));
        let deep = format!("<annotation>{}", "<a>".repeat(30_000));
        assert!(refusal(&deep).contains("nested more than 64"));
        let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><annotation><folder>&b;</folder></annotation>";
        assert!(refusal(bomb).contains("&b;"));
    }
}
