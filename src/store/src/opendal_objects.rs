//! Objects through OpenDAL: S3, and a filesystem but for its writes and listings ([`Folder`]).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use opendal::layers::TimeoutLayer;
use opendal::{Entry, EntryMode, ErrorKind, Operator};

use crate::folder::Folder;
use crate::{Created, Denial, Error, Metadata, Object, ObjectInfo, Objects, Result};

/// An object store behind an OpenDAL operator.
#[derive(Debug)]
pub(crate) struct OpendalObjects {
    operator: Operator,
    writes: Writes,
    call_limit: Duration,
}

/// Who makes sure that objects appear whole or not at all.
#[derive(Debug)]
pub(crate) enum Writes {
    /// The service does it: a conditional PUT.
    Service,
    /// The service writes in place: [`Folder`] does it.
    Folder(Folder),
}

/// A call that always makes a little progress ends all the same, after so many times the limit of one request.
const CALL_TIMEOUTS: u32 = 10;

impl OpendalObjects {
    /// `timeout` limits one request; nothing is tried again here.
    pub(crate) fn new(operator: Operator, writes: Writes, timeout: Duration) -> Self {
        let timeouts = TimeoutLayer::new().with_timeout(timeout).with_io_timeout(timeout);
        Self { operator: operator.layer(timeouts), writes, call_limit: timeout * CALL_TIMEOUTS }
    }

    /// Reads an object whole, within the limit of a call. What goes on after `most` bytes is left.
    async fn read_whole(&self, path: &str, reader: &opendal::Reader, most: u64) -> Result<Option<Bytes>> {
        let action = &format!("read {path}");
        match tokio::time::timeout(self.call_limit, content_within(reader, most)).await {
            Ok(Ok(Some(content))) => Ok(Some(content)),
            Ok(Ok(None)) => Err(Error::too_long(path, most)),
            Ok(Err(error)) if self.says_absent(&error) => Ok(None),
            Ok(Err(error)) => Err(failure(action.to_owned(), error)),
            Err(_) => {
                let source = format!("it was not read whole within {} s", self.call_limit.as_secs());
                Err(Error::Unanswered { action: action.to_owned(), source: source.into() })
            }
        }
    }

    async fn create_by_service(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let write = self.operator.write_with(path, content).if_not_exists(true);
        match write.user_metadata(metadata.clone()).await {
            Ok(_) => Ok(Created::New),
            Err(error) if error.kind() == ErrorKind::ConditionNotMatch => Ok(Created::Existed),
            Err(error) => Err(failure(format!("create {path}"), error)),
        }
    }

    /// Whether the store itself said that there is no such object. Over HTTP anything on the way can
    /// answer 404; S3 says `NoSuchKey` in the body. To HEAD it has no body to say it in.
    fn says_absent(&self, error: &opendal::Error) -> bool {
        let own_words = match self.writes {
            Writes::Service => error.to_string().contains("NoSuchKey"),
            Writes::Folder(_) => true,
        };
        error.kind() == ErrorKind::NotFound && own_words
    }

    async fn entries(&self, prefix: &str, recursive: bool) -> Result<Vec<Entry>> {
        match self.operator.list_with(prefix).recursive(recursive).await {
            Ok(entries) => Ok(entries),
            Err(error) if error.kind() == ErrorKind::NotFound && matches!(self.writes, Writes::Folder(_)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(failure(format!("list {prefix}"), error)),
        }
    }
}

#[async_trait]
impl Objects for OpendalObjects {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        match &self.writes {
            Writes::Service => self.create_by_service(path, content, metadata).await,
            Writes::Folder(folder) => folder.create(path, content, metadata).await,
        }
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        match &self.writes {
            Writes::Service => match self.operator.write(path, content).await {
                Ok(_) => Ok(()),
                Err(error) => Err(failure(format!("write {path}"), error)),
            },
            Writes::Folder(folder) => folder.replace(path, content).await,
        }
    }

    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>> {
        let action = || format!("read {path}");
        let reader = self.operator.reader(path).await.map_err(|error| failure(action(), error))?;
        let Some(content) = self.read_whole(path, &reader, most).await? else { return Ok(None) };
        // S3 sends the metadata along; on a file system it takes a second request.
        let metadata = match (&self.writes, reader.metadata()) {
            (Writes::Service, Some(sent)) => user_metadata(sent),
            _ => match self.operator.stat(path).await {
                Ok(found) => user_metadata(&found),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // Deleted meanwhile.
                Err(error) => return Err(failure(action(), error)),
            },
        };
        Ok(Some(Object { content, metadata }))
    }

    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>> {
        let action = || format!("read the start of {path}");
        let reader = self.operator.reader(path).await.map_err(|error| failure(action(), error))?;
        let error = match tokio::time::timeout(self.call_limit, reader.read(0..bytes)).await {
            Ok(Ok(content)) => return Ok(Some(content.to_bytes())),
            Ok(Err(error)) if self.says_absent(&error) => return Ok(None),
            Ok(Err(error)) => failure(action(), error),
            Err(elapsed) => Error::Unanswered { action: action(), source: Box::new(elapsed) },
        };
        // A range beyond the end of a short object is an error, too.
        match self.stat(path).await? {
            Some((info, _)) if info.size_bytes < bytes => {
                Ok(self.read_within(path, bytes).await?.map(|object| object.content))
            }
            _ => Err(error),
        }
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        let found = match self.operator.stat(path).await {
            Ok(found) => found,
            // What a HEAD cannot say, a GET can: it fails, or finds nothing, or an object written
            // since, which a second HEAD then finds too.
            Err(error) if error.kind() == ErrorKind::NotFound => match self.read_within(path, 0).await {
                Ok(None) => return Ok(None),
                Err(error) if !matches!(error, Error::Document { .. }) => return Err(error),
                // It is there, of whatever length.
                Ok(Some(_)) | Err(_) => {
                    self.operator.stat(path).await.map_err(|e| failure(format!("stat {path}"), e))?
                }
            },
            Err(error) => return Err(failure(format!("stat {path}"), error)),
        };
        Ok(Some((info(path, &found)?, user_metadata(&found))))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        if let Writes::Folder(folder) = &self.writes {
            return folder.list(prefix).await;
        }
        let entries = self.entries(prefix, true).await?;
        let files = entries.iter().filter(|entry| entry.metadata().mode() == EntryMode::FILE);
        let mut found =
            files.map(|entry| info(entry.path(), entry.metadata())).collect::<Result<Vec<_>>>()?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let entries = self.entries(prefix, false).await?;
        let folder = |entry: &Entry| {
            let name = entry.path().strip_prefix(prefix)?.strip_suffix('/')?;
            if name.is_empty() { None } else { Some(name.to_owned()) }
        };
        let mut names: Vec<_> = entries.iter().filter_map(folder).collect();
        names.sort();
        Ok(names)
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.operator.delete(path).await.map_err(|error| failure(format!("delete {path}"), error))
    }
}

/// The content; none where it is longer.
async fn content_within(reader: &opendal::Reader, most: u64) -> opendal::Result<Option<Bytes>> {
    let mut stream = reader.clone().into_stream(..).await?;
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while let Some(part) = stream.try_next().await? {
        bytes += part.len() as u64;
        if bytes > most {
            return Ok(None);
        }
        parts.push(part);
    }
    Ok(Some(parts.into_iter().flatten().collect::<opendal::Buffer>().to_bytes()))
}

fn user_metadata(metadata: &opendal::Metadata) -> Metadata {
    let pairs = metadata.user_metadata().into_iter().flatten();
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn info(path: &str, metadata: &opendal::Metadata) -> Result<ObjectInfo> {
    let unknown = || Error::Unanswered {
        action: format!("stat {path}"),
        source: "the store does not say when the object was written".into(),
    };
    let modified = metadata.last_modified().map(Timestamp::from).ok_or_else(unknown)?;
    Ok(ObjectInfo { path: path.to_owned(), size_bytes: metadata.content_length(), modified })
}

/// What a failed call means: not let in, refused for good, or no usable answer.
fn failure(action: String, error: opendal::Error) -> Error {
    let kind = error.kind();
    // S3 says most of it in the body, some of it with status 400.
    let denial = Denial::quoted_in(&error.to_string());
    let denial = denial.or((kind == ErrorKind::PermissionDenied).then_some(Denial::Permission));
    let source = Box::new(error);
    match (denial, kind) {
        (Some(denial), _) => Error::Denied { action, denial, source },
        (None, ErrorKind::ConfigInvalid) => Error::Refused { action, source },
        (None, _) => Error::Unanswered { action, source },
    }
}
