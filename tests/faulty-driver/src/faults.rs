//! The closed list of faults: each breaks one promise of the contract, where the code asks for it by name.

use std::str::FromStr;

macro_rules! faults {
    ($($variant:ident = $name:literal, $clause:literal, $sentence:literal;)*) => {
        /// What is broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault {
            /// Nothing.
            None,
            $(#[doc = $sentence] $variant,)*
        }

        impl Fault {
            /// Every fault there is.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As on the command line.
            pub(crate) fn name(self) -> &'static str {
                match self { Self::None => "none", $(Self::$variant => $name,)* }
            }

            /// The clause that it breaks, and how.
            pub(crate) fn sentence(self) -> &'static str {
                match self {
                    Self::None => "nothing is broken",
                    $(Self::$variant => concat!($clause, ": ", $sentence),)*
                }
            }
        }
    };
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "none" || name.is_empty() {
            return Ok(Self::None);
        }
        let found = Self::ALL.iter().copied().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("there is no fault {name:?}; --list-faults prints them"))
    }
}

faults! {
    // H: handshake, probe, health
    VersionAny = "version-any", "H2", "no version in common is needed";
    VersionFirstOffered = "version-first-offered", "H2", "the first version offered is selected, whatever it is";
    VersionFirstOnly = "version-first-only", "H2", "a version in common is seen only in the first place";
    VersionUntold = "version-untold", "H2", "no version is selected";
    MinorRefused = "minor-refused", "H3", "a later minor version is refused";
    InstancePerConnection = "instance-per-connection", "H4", "every handshake has another driver_instance";
    InstanceConstant = "instance-constant", "H4", "driver_instance is the same after a restart";
    InstanceMissing = "instance-missing", "H4", "driver_instance is empty";
    NameMissing = "name-missing", "H2", "name and version of the driver are empty";
    StoreIdUntold = "store-id-untold", "H5", "store_id is empty though the store has one";
    StoreIdOfProcess = "store-id-of-process", "H5", "store_id is another one after a restart";
    StoreIdInvented = "store-id-invented", "H5", "store_id is not what the store holds";
    ExpectedStoreIgnored = "expected-store-ignored", "H6", "expected_store_id is not compared";
    ExpectedStoreUninitialised = "expected-store-uninitialised", "H6", "a store without an id is taken for the one expected";
    StoreMismatchReason = "store-mismatch-reason", "H6", "another store than expected is REQUEST_NOT_UNDERSTOOD";
    StoreIdErrorIsEmpty = "store-id-error-is-empty", "H7", "an id that can't be read is an empty one";
    LimitsVary = "limits-vary", "H8", "limits change from handshake to handshake";
    LimitChunkSmall = "limit-chunk-small", "H9", "max_chunk_bytes is 32 KiB";
    LimitChunkLarge = "limit-chunk-large", "H9", "max_chunk_bytes is 2 MiB";
    LimitInlineSmall = "limit-inline-small", "H9", "max_inline_bytes is 4 MiB";
    LimitPageSmall = "limit-page-small", "H9", "max_page is 500";
    LimitTtlShort = "limit-ttl-short", "H9", "upload_ttl is an hour";
    ClockOff = "clock-off", "H11", "now is an hour ahead";
    DurabilityUntold = "durability-untold", "H8", "the durability is not set";
    ClockMissing = "clock-missing", "H11", "now is not set";
    ProbeWrites = "probe-writes", "H12", "a probe leaves an object";
    ProbeSlow = "probe-slow", "H12", "a probe takes three seconds";
    ProbeReadyAlways = "probe-ready-always", "H12", "a probe says READY without a look at the backend";
    ProbeStateUnset = "probe-state-unset", "H12", "a probe answers no state";
    HealthMissing = "health-missing", "H13", "grpc.health.v1.Health is not served";
    HealthNotServing = "health-not-serving", "H13", "health says NOT_SERVING while the driver serves";
    // K: keys
    KeyEmptyComponentTaken = "key-empty-component-taken", "K1", "an empty component is taken";
    KeySlashesTaken = "key-slashes-taken", "K1", "a slash at either end is taken";
    KeyDotsTaken = "key-dots-taken", "K1", "the components . and .. are taken";
    KeyCharactersTaken = "key-characters-taken", "K1", "any character is taken";
    KeyComponentLongTaken = "key-component-long-taken", "K1", "a component may have any length";
    KeyLongTaken = "key-long-taken", "K1", "a key may have any length";
    KeyTildeRefused = "key-tilde-refused", "K1", "a tilde is refused";
    KeyComponent255Refused = "key-component-255-refused", "K1", "a component of 255 bytes is refused";
    Key1024Refused = "key-1024-refused", "K1", "a key of 1024 bytes is refused";
    KeyDeepRefused = "key-deep-refused", "K1", "a key of more than 32 components is refused";
    KeyReason = "key-reason", "K1", "an invalid key is REQUEST_NOT_UNDERSTOOD";
    KeyUncheckedInStat = "key-unchecked-in-stat", "K1", "Stat does not check its key";
    KeyUncheckedInGet = "key-unchecked-in-get", "K1", "Get does not check its key";
    KeyUncheckedInPut = "key-unchecked-in-put", "K1", "Put does not check its key";
    KeyUncheckedInDelete = "key-unchecked-in-delete", "K1", "Delete does not check its keys";
    KeyUncheckedInMove = "key-unchecked-in-move", "K1", "Move does not check its keys";
    KeyUncheckedInRead = "key-unchecked-in-read", "K1", "ReadStream does not check its key";
    KeyUncheckedInSign = "key-unchecked-in-sign", "K1", "Sign does not check its key";
    KeyUncheckedInCreate = "key-unchecked-in-create", "K1", "the create of a session does not check its key";
    KeysFoldCase = "keys-fold-case", "K2", "keys that differ in case are one";
    OwnKeysOpen = "own-keys-open", "K3", "keys below .driver/ are like others";
    OwnKeysByPrefix = "own-keys-by-prefix", "K3", "every key that begins with .driver is refused";
    ListOwnKeys = "list-own-keys", "K3", ".driver/store-id is listed";
    StoreIdHidden = "store-id-hidden", "K4", "Get and Stat of .driver/store-id are refused";
    StoreIdByAnyPut = "store-id-by-any-put", "K4", "the store's id takes any condition";
    StoreIdAnyText = "store-id-any-text", "K4", "the store's id may be any text";
    StoreIdOverwritten = "store-id-overwritten", "K4", "the store's id is written anew, against if_absent";
    StoreIdDeletable = "store-id-deletable", "K4", "the store's id can be deleted";
    StoreIdStreamed = "store-id-streamed", "K4", "the store's id can be read as a stream";
    // O: objects
    AbsenceAsError = "absence-as-error", "O1", "what is not there is IO_ERROR";
    ErrorAsAbsence = "error-as-absence", "O1", "a backend that is gone is NOT_FOUND";
    StatAbsentIsEmpty = "stat-absent-is-empty", "O1", "Stat of what is not there is an object of no bytes";
    StatSizeWrong = "stat-size-wrong", "O1", "Stat counts the header of the file";
    ObjectKeyWrong = "object-key-wrong", "O1", "an object is told with another key";
    AbsenceCached = "absence-cached", "O2", "absence is remembered for a second, in spite of a write";
    EtagOfSize = "etag-of-size", "O3", "contents of one size have one etag";
    EtagOfSecond = "etag-of-second", "O3", "contents of one size and second have one etag";
    EtagChanges = "etag-changes", "O3", "the etag is another one each time";
    EtagMissing = "etag-missing", "O3", "the etag is empty";
    GetCutAt64K = "get-cut-at-64-k", "O4", "Get cuts at 64 KiB";
    GetAnySize = "get-any-size", "O4", "Get answers objects of any size";
    PutAnySize = "put-any-size", "O5", "Put takes more than max_inline_bytes";
    PutInPlace = "put-in-place", "O5", "Put writes over the old content, in two halves";
    PutKeepsTail = "put-keeps-tail", "O5", "a shorter content leaves the tail of the longer one";
    PutEmptyRefused = "put-empty-refused", "O5", "a Put of nothing is refused";
    PutNothing = "put-nothing", "O5", "a Put is acknowledged and not done";
    PutSizeWrong = "put-size-wrong", "O5", "Put answers an object of size 0";
    PutUnsetIsAlways = "put-unset-is-always", "O6", "a Put without condition is done";
    PutAlwaysRefused = "put-always-refused", "O6", "always does not overwrite";
    PutIfAbsentOverwrites = "put-if-absent-overwrites", "O6", "if_absent overwrites";
    PutIfAbsentReason = "put-if-absent-reason", "O6", "if_absent on a taken key is PRECONDITION_FAILED";
    PutIfAbsentRaces = "put-if-absent-races", "H10", "if_absent looks first and writes later";
    PutIfMatchIgnored = "put-if-match-ignored", "O6", "if_match overwrites any content";
    PutIfMatchCreates = "put-if-match-creates", "O6", "if_match creates what is not there";
    PutIfMatchReason = "put-if-match-reason", "O6", "if_match on another content is CONFLICT";
    PutIfMatchRaces = "put-if-match-races", "H10", "if_match looks first and writes later";
    DeleteAnyNumber = "delete-any-number", "O7", "more than 1000 items are taken";
    DeleteEmptyRefused = "delete-empty-refused", "O7", "a Delete of no keys is refused";
    DeleteFewOnly = "delete-few-only", "O7", "more than 500 items are refused";
    DeleteReversed = "delete-reversed", "O7", "outcomes come in the reverse order";
    DeleteStops = "delete-stops", "O7", "nothing is deleted after an item that failed";
    DeleteFailsWhole = "delete-fails-whole", "O7", "an item that failed fails the call";
    DeleteOutcomesMissing = "delete-outcomes-missing", "O7", "only items that failed have an outcome";
    DeleteAbsentFails = "delete-absent-fails", "O7", "to delete what is not there fails";
    DeleteExistedAlways = "delete-existed-always", "O7", "existed is always true";
    DeleteExistedNever = "delete-existed-never", "O7", "existed is never true";
    DeleteNothing = "delete-nothing", "O7", "a delete is acknowledged and not done";
    DeleteReasonMissing = "delete-reason-missing", "E4", "an outcome carries no reason";
    DeleteIfMatchIgnored = "delete-if-match-ignored", "O7", "if_match of an item is not compared";
    DeleteIfMatchAbsentFails = "delete-if-match-absent-fails", "O7", "if_match on an absent key fails";
    DeleteIfMatchRaces = "delete-if-match-races", "H10", "if_match of an item looks first and deletes later";
    MoveUndeclared = "move-undeclared", "H8", "Move is not declared, and done";
    MoveReplaces = "move-replaces", "O8", "Move replaces an object";
    MoveToItself = "move-to-itself", "O8", "Move of a key to itself is done";
    MoveCopies = "move-copies", "O8", "Move leaves the source";
    MoveEmpties = "move-empties", "O8", "Move loses the content";
    MoveAbsentReason = "move-absent-reason", "O8", "Move of what is not there is PRECONDITION_FAILED";
    MoveTellsSource = "move-tells-source", "O8", "Move answers the object with its old key";
    MoveRaces = "move-races", "O8", "Move looks first and renames later";
    PutLost = "put-lost", "O9", "a Put is acknowledged before it is durable";
    ConditionalPutLost = "conditional-put-lost", "O9", "a conditional Put is acknowledged before it is durable";
    DeleteLost = "delete-lost", "O9", "a delete is acknowledged before it is durable";
    MoveLost = "move-lost", "O9", "a Move is acknowledged before it is durable";
    SignForbidden = "sign-forbidden", "O12", "a signed URL is refused";
    SignCut = "sign-cut", "O12", "a signed URL serves half of the object";
    SignNoRange = "sign-no-range", "O12", "a signed URL does not serve ranges";
    SignNoHead = "sign-no-head", "O12", "a signed URL does not serve HEAD";
    SignNoContentType = "sign-no-content-type", "O12", "a signed URL does not serve the content type that was asked for";
    SignNeverExpires = "sign-never-expires", "O12", "a signed URL outlives its time by an hour";
    SignRefused = "sign-refused", "O12", "Sign is declared, and fails";
    SignHangs = "sign-hangs", "O12", "Sign is never answered";
    SignExpiryUntold = "sign-expiry-untold", "O12", "Sign does not tell when the URL expires";
    // L: listing
    ListUnsorted = "list-unsorted", "L1", "a page is in reverse order";
    ListFoldersFirst = "list-folders-first", "L1", "common prefixes come before keys";
    ListByComponent = "list-by-component", "L1", "names are compared component by component";
    ListNeverRecursive = "list-never-recursive", "L2", "recursive is not looked at, and taken for false";
    ListAlwaysRecursive = "list-always-recursive", "L2", "recursive is not looked at, and taken for true";
    ListPrefixWithoutSlash = "list-prefix-without-slash", "L2", "a common prefix lacks its slash";
    ListEmptyFolders = "list-empty-folders", "L2", "a folder without keys is shown";
    ListAnyPrefix = "list-any-prefix", "L2", "a prefix need not be one";
    ListSiblings = "list-siblings", "L2", "keys beside the prefix that begin like it are shown";
    ListAbsentFolder = "list-absent-folder", "L2", "a prefix without keys is an error";
    ListRelativeKeys = "list-relative-keys", "L1", "keys are told without their prefix";
    ListWithoutSizes = "list-without-sizes", "L1", "objects are listed with size 0";
    ListTwice = "list-twice", "L6", "every entry comes twice";
    ListStartIncluded = "list-start-included", "L3", "start_after is shown";
    ListStartMustExist = "list-start-must-exist", "L3", "a start_after that does not exist begins anew";
    ListPrefixAgain = "list-prefix-again", "L3", "a common prefix is shown again behind itself";
    ListLimitIgnored = "list-limit-ignored", "L3", "a page has as many entries as there are, up to max_page";
    LimitZeroIsOne = "limit-zero-is-one", "L3", "limit 0 means one";
    LimitHugeRefused = "limit-huge-refused", "L3", "a limit above max_page is refused";
    ListMoreAlways = "list-more-always", "L4", "more is always true";
    ListMoreNever = "list-more-never", "L4", "more is never true";
    ListMoreWhenFull = "list-more-when-full", "L4", "more is true for a full page that is the last one";
    ListEmptyPage = "list-empty-page", "L4", "a page with more has no entry";
    ListStale = "list-stale", "L5", "keys written within half a second are not listed";
    ListSkipsAtEdge = "list-skips-at-edge", "L6", "an entry is left out at the edge of a page";
    // R: reads
    ReadAbsentReason = "read-absent-reason", "O1", "a read of what is not there is IO_ERROR";
    ReadObjectMissing = "read-object-missing", "R11", "no message carries the object";
    ReadObjectInEach = "read-object-in-each", "R11", "each message carries the object";
    ReadOffsetsFromZero = "read-offsets-from-zero", "R11", "the first offset is 0, whatever the range";
    ReadOffsetsStand = "read-offsets-stand", "R11", "later offsets are 0";
    ReadSizeOfRange = "read-size-of-range", "R11", "the object has the size of the range";
    ReadLosesByteAtEdge = "read-loses-byte-at-edge", "R11", "a byte is lost at each edge of a piece";
    ReadBitFlipped = "read-bit-flipped", "R11", "the last bit of a full piece is flipped";
    ReadZeroesTail = "read-zeroes-tail", "R11", "the second half of later pieces is zeroes";
    ReadPastEndIsEmpty = "read-past-end-is-empty", "R12", "an offset past the end reads nothing";
    ReadAtEndRefused = "read-at-end-refused", "R12", "an offset at the end is refused";
    SizeUntold = "size-untold", "R12", "OFFSET_PAST_END comes without the size";
    ReadLengthPastEndRefused = "read-length-past-end-refused", "R12", "a length past the end is refused";
    ReadLengthZeroIsAll = "read-length-zero-is-all", "R12", "length 0 reads to the end";
    ReadLengthIgnored = "read-length-ignored", "R12", "every read goes to the end";
    ReadOffsetIgnored = "read-offset-ignored", "R12", "every read begins at 0";
    ReadRangeOneMore = "read-range-one-more", "R12", "a range is a byte too long";
    ReadRangeOneLess = "read-range-one-less", "R12", "a range is a byte too short";
    ReadEndsEarly = "read-ends-early", "R13", "the last piece is left out, and the status is OK";
    ReadMixes = "read-mixes", "R14", "a read goes on with the new content";
    ReadIfMatchIgnored = "read-if-match-ignored", "R15", "if_match is not compared";
    ReadIfMatchReason = "read-if-match-reason", "R15", "another content is CONFLICT";
    ReadPiecesLarge = "read-pieces-large", "R17", "pieces are twice max_chunk_bytes";
    ReadPiecesSmall = "read-pieces-small", "R17", "pieces are 1 KiB";
    ReadCrcWrong = "read-crc-wrong", "R17", "checksums are wrong";
    ReadsInTurn = "reads-in-turn", "R18", "a slow read holds up the others";
    // U: upload sessions
    OpenMissingTaken = "open-missing-taken", "U1", "a stream that begins with something else ends with OK";
    OpenUnsetIsResume = "open-unset-is-resume", "U1", "an open without a mode resumes";
    FenceMissingTaken = "fence-missing-taken", "U4", "an open without a fence is taken";
    SecondOpenTaken = "second-open-taken", "U1", "a second open is passed over";
    EmptyMessageTaken = "empty-message-taken", "U1", "an empty message is passed over";
    OpenedIsAck = "opened-is-ack", "U1", "open is answered with an ack";
    OpenedIdUntold = "opened-id-untold", "U1", "opened names no id";
    OpenedWithoutBookmark = "opened-without-bookmark", "U3", "opened carries no bookmark";
    OpenedDurableWrong = "opened-durable-wrong", "U3", "opened tells one durable byte too many";
    UploadStateUntold = "upload-state-untold", "U1", "a session has no state";
    UploadKeyWrong = "upload-key-wrong", "U1", "a session has another key";
    UploadFenceUntold = "upload-fence-untold", "U4", "a session has no fence";
    UploadUpdatedUntold = "upload-updated-untold", "U18", "a session has no time";
    CreateBookmarkLost = "create-bookmark-lost", "U1", "the bookmark of a create is dropped";
    CreateTakenId = "create-taken-id", "U1", "the create of a taken id opens the session that is there";
    UploadExistsReason = "upload-exists-reason", "U1", "a taken id is KEY_EXISTS";
    CreateTakenKey = "create-taken-key", "U1", "neither a create nor its commit minds an object at the key";
    CreateLost = "create-lost", "U1", "a create is acknowledged before it is durable";
    CreateRepeatRefused = "create-repeat-refused", "U2", "a repeated create is refused";
    CreateRepeatAnyKey = "create-repeat-any-key", "U2", "a create with another key counts as repeated";
    CreateRepeatAnyFence = "create-repeat-any-fence", "U2", "a create with another fence counts as repeated";
    CreateRepeatLate = "create-repeat-late", "U2", "a create counts as repeated after there are durable bytes";
    ResumeCreates = "resume-creates", "U3", "the resume of an unknown session makes one";
    ResumeKeepsTail = "resume-keeps-tail", "U3", "a resume goes on behind the durable mark";
    ResumeAtZero = "resume-at-zero", "U3", "a resume begins at 0";
    UploadUnknownReason = "upload-unknown-reason", "U3", "an unknown session is KEY_NOT_FOUND";
    FenceIgnored = "fence-ignored", "U4", "a smaller fence is taken";
    FenceOwnerIgnored = "fence-owner-ignored", "U4", "the owner does not decide between equal counters";
    FenceOwnerFirst = "fence-owner-first", "U4", "the owner is compared before the counter";
    FenceEqualRefused = "fence-equal-refused", "U4", "an equal fence is refused";
    FenceReason = "fence-reason", "U4", "a smaller fence is UPLOAD_EXISTS";
    FencedWriterGoesOn = "fenced-writer-goes-on", "U4", "the writer before goes on to write";
    FencedEndsWell = "fenced-ends-well", "U4", "the stream of the writer before ends with OK";
    FencedToldLate = "fenced-told-late", "U4", "an idle writer is not told that it was shut out";
    FenceLost = "fence-lost", "U4", "a fence is forgotten at a kill";
    BookmarkLongTaken = "bookmark-long-taken", "U5", "a bookmark may have any length";
    BookmarkLongRefused = "bookmark-long-refused", "U5", "a bookmark of more than 1 KiB is refused";
    BookmarkAsText = "bookmark-as-text", "U5", "a bookmark is taken for text";
    ChunkGapPadded = "chunk-gap-padded", "U6", "a gap is filled with zeroes";
    ChunkOverwrites = "chunk-overwrites", "U6", "a chunk behind the offset overwrites";
    ChunkOffsetIgnored = "chunk-offset-ignored", "U6", "the offset of a chunk is not looked at";
    MarkOffsetIgnored = "mark-offset-ignored", "U6", "the offset of a mark is not looked at";
    OffsetsUntold = "offsets-untold", "U6", "OFFSET_MISMATCH comes without offsets";
    OffsetsWrong = "offsets-wrong", "U6", "OFFSET_MISMATCH tells offsets that are wrong";
    ChunkEmptyRefused = "chunk-empty-refused", "U6", "an empty chunk is refused";
    WriteLosesByteAtEdge = "write-loses-byte-at-edge", "U6", "a byte is lost at each edge of a chunk";
    ChunkLargeTaken = "chunk-large-taken", "U7", "a chunk may have any length";
    ChunkMaxRefused = "chunk-max-refused", "U7", "a chunk of max_chunk_bytes is refused";
    CrcIgnored = "crc-ignored", "U7", "the checksum of a chunk is not compared";
    CrcReason = "crc-reason", "U7", "a damaged chunk is REQUEST_NOT_UNDERSTOOD";
    CrcBadKept = "crc-bad-kept", "U7", "a damaged chunk is refused and kept";
    BookmarkOfLaterMark = "bookmark-of-later-mark", "U8", "GetUpload tells the bookmark of a later mark";
    BookmarkOfEarlierMark = "bookmark-of-earlier-mark", "U8", "a flush keeps the bookmark of the mark before";
    MarkAgainIgnored = "mark-again-ignored", "U8", "a second mark at one offset changes nothing";
    FlushLost = "flush-lost", "U9", "a flush is acknowledged before it is durable";
    AckPerChunk = "ack-per-chunk", "U9", "every chunk is acknowledged";
    AckPerMark = "ack-per-mark", "U9", "every mark is acknowledged";
    AckAhead = "ack-ahead", "U9", "an ack tells one durable byte too many";
    AckReceivedWrong = "ack-received-wrong", "U9", "an ack tells that nothing was received";
    ProgressUnasked = "progress-unasked", "U22", "progress is told to a core that did not ask for it";
    ProgressShrinks = "progress-shrinks", "U22", "progress tells less than before";
    MarkOddRefused = "mark-odd-refused", "U10", "a mark at an odd offset is refused";
    DurableWithoutMark = "durable-without-mark", "U11", "bytes become durable without a mark";
    EndOfStreamCommits = "end-of-stream-commits", "U11", "the end of a stream commits";
    EndOfStreamDrops = "end-of-stream-drops", "U11", "the end of a stream ends the session";
    BrokenStreamDrops = "broken-stream-drops", "U11", "a stream that breaks ends the session";
    CommitSizeIgnored = "commit-size-ignored", "U12", "the size of a commit is not compared";
    CommitMismatchDrops = "commit-mismatch-drops", "U12", "a commit of another size ends the session";
    CommitEmptyRefused = "commit-empty-refused", "U12", "a commit of no bytes is refused";
    CommitVisibleEarly = "commit-visible-early", "U12", "the object is there before its commit";
    CommitInPlace = "commit-in-place", "U12", "the object is there while it is written";
    CommitReplaces = "commit-replaces", "U12", "a commit replaces an object";
    CommitRaces = "commit-races", "U12", "a commit looks first and publishes later";
    CommitTakenDrops = "commit-taken-drops", "U12", "a commit to a taken key ends the session";
    CommitObjectUntold = "commit-object-untold", "U12", "committed carries no object";
    CommitObjectWrong = "commit-object-wrong", "U12", "committed carries another etag than Stat";
    CommitToldOpen = "commit-told-open", "U12", "committed tells state OPEN";
    CommitLost = "commit-lost", "O9", "a commit is acknowledged before it is durable";
    CommitAgainRefused = "commit-again-refused", "U13", "a repeated commit is refused";
    CommitAgainAnySize = "commit-again-any-size", "U13", "a repeated commit may name another size";
    CommitForgets = "commit-forgets", "U15", "a committed session is gone";
    CommitBookmarkOld = "commit-bookmark-old", "U15", "the bookmark of the commit is dropped";
    CommitLateMark = "commit-late-mark", "U15", "a mark that was pending is made durable after the commit";
    CommittedTakesChunks = "committed-takes-chunks", "U15", "a committed session takes chunks";
    CommittedTakesMarks = "committed-takes-marks", "U15", "a committed session takes marks";
    EndRemovesObject = "end-removes-object", "U16", "the end of a committed session removes the object";
    EndKeepsOpen = "end-keeps-open", "U16", "the end of an open session leaves it";
    EndKeepsCommitted = "end-keeps-committed", "U16", "the end of a committed session leaves it";
    EndUnknownFails = "end-unknown-fails", "U16", "the end of an unknown session fails";
    EndExistedAlways = "end-existed-always", "U16", "existed is always true";
    EndExistedNever = "end-existed-never", "U16", "existed is never true";
    EndFenceIgnored = "end-fence-ignored", "U16", "the fence of an end is not compared, and nobody is shut out";
    EndLost = "end-lost", "O9", "the end of a session is undone at a kill";
    UploadsUnsorted = "uploads-unsorted", "U18", "sessions are listed in reverse order";
    UploadsStartIncluded = "uploads-start-included", "U18", "start_after is listed";
    UploadsIdleIgnored = "uploads-idle-ignored", "U18", "idle_since is not looked at";
    UploadsIdleReversed = "uploads-idle-reversed", "U18", "idle_since lists the sessions that are not idle";
    UploadsHideCommitted = "uploads-hide-committed", "U18", "committed sessions are not listed";
    UploadsMoreNever = "uploads-more-never", "U18", "more is never true";
    UploadsMoreWhenFull = "uploads-more-when-full", "U18", "more is true for a full page that is the last one";
    UploadsWithoutBookmark = "uploads-without-bookmark", "U18", "sessions are listed without bookmark";
    UploadsOfInstance = "uploads-of-instance", "U19", "an instance knows the sessions that it made, and no other";
    UploadIdUpperTaken = "upload-id-upper-taken", "U21", "upper-case digits are taken";
    UploadIdAnyLength = "upload-id-any-length", "U21", "an upload id may have any length";
    // E: errors
    ErrorWithoutInfo = "error-without-info", "E1", "errors carry no ErrorInfo";
    ErrorOfAnotherDomain = "error-of-another-domain", "E1", "ErrorInfo has another domain";
    ErrorReasonUnlisted = "error-reason-unlisted", "E1", "the reason is not of the list";
    ErrorCodeUnknown = "error-code-unknown", "E1", "every error has code UNKNOWN";
    ErrorWithoutMessage = "error-without-message", "E1", "errors have no message";
    ErrorDetailsLong = "error-details-long", "R4", "details have more than 4 KiB";
    // D, T: the life of the process, transport
    DrainTakesCreates = "drain-takes-creates", "D4", "sessions are made during a drain";
    DrainForgetsMarks = "drain-forgets-marks", "D4", "a drain makes no mark durable";
    DrainCountWrong = "drain-count-wrong", "D4", "a drain counts one session too many";
    DrainRefusesAll = "drain-refuses-all", "D4", "Stat is refused during a drain";
    TerminatedBadly = "terminated-badly", "D5", "the exit status after SIGTERM is 1";
    TerminatedForgetsMarks = "terminated-forgets-marks", "D5", "SIGTERM makes no mark durable";
    FolderOpenToAll = "folder-open-to-all", "T2", "the socket lies where everyone may write";
    SocketOpenToAll = "socket-open-to-all", "T2", "the socket has mode 0666";
    StreamsFew = "streams-few", "T4", "more than four calls at once on a connection have to wait";
    MessagesSmall = "messages-small", "T6", "messages above 1 MiB are refused";
    RequestIdRefused = "request-id-refused", "T9", "a call with x-request-id is refused";
    RequestIdOddRefused = "request-id-odd-refused", "T9", "an x-request-id of another form is refused";
}
