//! The two large documents: a transaction and a whole state, read piece by piece so that a million ports are never
//! held as documents, only as text and as records.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::refusal::{Code, Refusal};
use crate::request::Counts;
use crate::resources::{Kind, KindVisitor, Spec, each_kind};
use crate::state::{State, Transaction};

/// A transaction, its parts unread.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionDocument<'a> {
    #[serde(borrow, default)]
    put: Members<'a>,
    #[serde(borrow, default)]
    delete: Members<'a>,
}

/// Stages `{"put": {kind: {id: document}}, "delete": {kind: [id]}}`. The order within the body means nothing:
/// deletions come first, then kinds in the order of their references.
pub(crate) fn stage_transaction(
    body: &[u8],
    transaction: &mut Transaction<'_>,
) -> Result<Counts, Refusal> {
    let document: TransactionDocument<'_> = parse(body)?;
    let mut counts = Counts::default();
    document.put.check_kinds("/put")?;
    document.delete.check_kinds("/delete")?;
    // What refers to others goes before them, so that every key can still be read.
    for delete in kinds_reversed() {
        delete(&document.delete, transaction, &mut counts)?;
    }
    let mut put = PutKinds {
        document: &document,
        transaction,
        counts,
    };
    each_kind(&mut put)?;
    Ok(put.counts)
}

/// Stages `{kind: {id: document}}` as the whole state.
pub(crate) fn stage_state(
    body: &[u8],
    transaction: &mut Transaction<'_>,
) -> Result<Counts, Refusal> {
    let document: Members<'_> = parse(body)?;
    document.check_kinds("")?;
    let mut replace = ReplaceKinds {
        document: &document,
        transaction,
        counts: Counts::default(),
    };
    each_kind(&mut replace)?;
    Ok(replace.counts)
}

/// Reads one document of a kind, and says which field is at fault if it cannot be read.
pub(crate) fn parse_spec<K: Kind>(key: &K::Key, json: &[u8]) -> Result<K::Spec, Refusal> {
    let mut spec: K::Spec =
        parse(json).map_err(|refusal| refusal.of(format!("{}/{key}", K::NAME)))?;
    if let Some(id) = spec.id().take()
        && id != key.to_string()
    {
        let message = format!(
            "the body names {id:?} and the request {key}: make them agree, or leave `id` out"
        );
        return Err(Refusal::conflict("/id", message).of(format!("{}/{key}", K::NAME)));
    }
    Ok(spec)
}

/// Reads JSON; on failure reads it once more to find the path, which costs and is needed only then.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => {
                let deserializer = &mut serde_json::Deserializer::from_slice(json);
                let path = match serde_path_to_error::deserialize::<_, T>(deserializer) {
                    Err(error) => pointer(error.path()),
                    Ok(_) => String::new(),
                };
                Refusal::invalid(path, without_position(&error))
            }
            _ => {
                let what = without_position(&error);
                let message = format!("line {line}, column {column}: {what}");
                Refusal::new(Code::MalformedJson, message)
            }
        }
    })
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", pointer_token(key))),
            // The name of an enum's variant is no member of the document.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

pub(crate) fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// An object's members in the order they stand, their values unread.
#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| *value)
    }

    /// Refuses members that are no kind, or there twice.
    fn check_kinds(&self, at: &str) -> Result<(), Refusal> {
        let known = kind_names();
        for (index, (name, _)) in self.0.iter().enumerate() {
            let field = format!("{at}/{}", pointer_token(name));
            if !known.contains(&name.as_str()) {
                let message = format!(
                    "there is no kind {name:?}; the kinds are {}",
                    known.join(", ")
                );
                return Err(Refusal::invalid(field, message));
            }
            if self.0[..index].iter().any(|(other, _)| other == name) {
                return Err(Refusal::invalid(field, format!("{name:?} is there twice")));
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllMembers;
        impl<'de> Visitor<'de> for AllMembers {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AllMembers)
    }
}

/// Calls `each` for every member of an object with the key parsed, one at a time.
fn for_each_member<K: Kind>(
    object: &RawValue,
    each: impl FnMut(K::Key, &RawValue) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    struct Each<'e, K, F> {
        each: F,
        refused: &'e mut Option<Refusal>,
        kind: std::marker::PhantomData<K>,
    }
    impl<'de, K: Kind, F: FnMut(K::Key, &RawValue) -> Result<(), Refusal>> Visitor<'de>
        for Each<'_, K, F>
    {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "an object of {} by identifier", K::NAME)
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) =
                map.next_entry::<std::borrow::Cow<'de, str>, &RawValue>()?
            {
                let done = parse_key::<K>(&key).and_then(|key| (self.each)(key, value));
                if let Err(refusal) = done {
                    *self.refused = Some(refusal);
                    return Err(serde::de::Error::custom("refused"));
                }
            }
            Ok(())
        }
    }
    let mut refused = None;
    let visitor = Each {
        each,
        refused: &mut refused,
        kind: std::marker::PhantomData::<K>,
    };
    let mut deserializer = serde_json::Deserializer::from_str(object.get());
    match deserializer.deserialize_map(visitor) {
        Ok(()) => Ok(()),
        Err(error) => Err(refused.unwrap_or_else(|| {
            Refusal::invalid(format!("/{}", K::NAME), without_position(&error))
        })),
    }
}

fn parse_key<K: Kind>(text: &str) -> Result<K::Key, Refusal> {
    text.parse().map_err(|error| {
        Refusal::invalid("", format!("{text:?} names no {}: {error}", K::SINGULAR))
    })
}

/// The kinds' names in the order of their references.
pub(crate) fn kind_names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl KindVisitor for Names {
        type Error = std::convert::Infallible;
        fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
            self.0.push(K::NAME);
            Ok(())
        }
    }
    let mut names = Names(Vec::new());
    let Ok(()) = each_kind(&mut names);
    names.0
}

type DeleteKind = fn(&Members<'_>, &mut Transaction<'_>, &mut Counts) -> Result<(), Refusal>;

/// One deletion per kind, in the order against the references.
fn kinds_reversed() -> Vec<DeleteKind> {
    struct Collect(Vec<DeleteKind>);
    impl KindVisitor for Collect {
        type Error = std::convert::Infallible;
        fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
            self.0.insert(0, delete_kind::<K>);
            Ok(())
        }
    }
    let mut collect = Collect(Vec::new());
    let Ok(()) = each_kind(&mut collect);
    collect.0
}

fn delete_keys<K: Kind>(delete: &Members<'_>) -> Result<Vec<K::Key>, Refusal> {
    let Some(list) = delete.get(K::NAME) else {
        return Ok(Vec::new());
    };
    let keys: Vec<String> = parse(list.get().as_bytes()).map_err(|refusal| {
        let below = refusal.field.clone().unwrap_or_default();
        refusal.at(format!("/delete/{}{below}", K::NAME))
    })?;
    let keyed = keys.iter().enumerate().map(|(index, key)| {
        parse_key::<K>(key).map_err(|refusal| refusal.at(format!("/delete/{}/{index}", K::NAME)))
    });
    keyed.collect()
}

fn delete_kind<K: Kind>(
    delete: &Members<'_>,
    transaction: &mut Transaction<'_>,
    counts: &mut Counts,
) -> Result<(), Refusal> {
    for key in delete_keys::<K>(delete)? {
        transaction.remove::<K>(&key)?;
        counts.deleted += 1;
    }
    Ok(())
}

/// Stages the documents of a kind, and notes what they name by handle.
fn put_kind<K: Kind>(
    object: &RawValue,
    transaction: &mut Transaction<'_>,
    counts: &mut Counts,
    deleted: &HashSet<K::Key>,
) -> Result<HandleSet, Refusal> {
    let mut named = HandleSet::default();
    for_each_member::<K>(object, |key, json| {
        let spec = parse_spec::<K>(&key, json.get().as_bytes())?;
        let name = || format!("{}/{key}", K::NAME);
        if deleted.contains(&key) {
            let message = "it is both put and deleted: name it once";
            return Err(Refusal::conflict("", message).of(name()));
        }
        let (outcome, handle) = transaction.put::<K>(&key, spec)?;
        if !named.insert(handle.index()) {
            return Err(Refusal::conflict("", "it is put twice: name it once").of(name()));
        }
        counts.count(outcome);
        Ok(())
    })?;
    Ok(named)
}

struct PutKinds<'t, 'a, 's> {
    document: &'t TransactionDocument<'a>,
    transaction: &'t mut Transaction<'s>,
    counts: Counts,
}

impl KindVisitor for PutKinds<'_, '_, '_> {
    type Error = Refusal;

    fn visit<K: Kind>(&mut self) -> Result<(), Refusal> {
        let Some(object) = self.document.put.get(K::NAME) else {
            return Ok(());
        };
        let deleted = delete_keys::<K>(&self.document.delete)?
            .into_iter()
            .collect();
        put_kind::<K>(object, self.transaction, &mut self.counts, &deleted).map(drop)
    }
}

struct ReplaceKinds<'t, 'a, 's> {
    document: &'t Members<'a>,
    transaction: &'t mut Transaction<'s>,
    counts: Counts,
}

impl KindVisitor for ReplaceKinds<'_, '_, '_> {
    type Error = Refusal;

    /// Puts what is named and removes the rest, kind by kind: what refers to something removed is refused as it is put.
    fn visit<K: Kind>(&mut self) -> Result<(), Refusal> {
        let Self {
            document,
            transaction,
            counts,
        } = self;
        let named = match document.get(K::NAME) {
            Some(object) => put_kind::<K>(object, transaction, counts, &HashSet::new())?,
            None => HandleSet::default(),
        };
        let base: &State = transaction.base();
        let gone = base
            .table::<K>()
            .iter()
            .filter(|(handle, _)| !named.contains(handle.index()));
        for (handle, record) in gone {
            transaction.remove_found(&record.key(base.view()), handle);
            counts.deleted += 1;
        }
        Ok(())
    }
}

/// A set of handles, one bit each.
#[derive(Default)]
struct HandleSet(Vec<u64>);

impl HandleSet {
    /// Adds one; false if it was there.
    fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let was = self.0[word] & bit != 0;
        self.0[word] |= bit;
        !was
    }

    fn contains(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}
