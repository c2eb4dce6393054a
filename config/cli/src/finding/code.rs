//! The codes of findings: one for each kind, with its severity and its title. A code never changes its meaning, and the number of
//! one that is given up is not used again. Each has a page in `docs/findings/`.

use std::fmt;

use postern_config::ProblemKind;

use super::Severity;

macro_rules! codes {
    ($($name:ident = $number:literal $severity:ident $title:literal,)+) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code, in the order of its number.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the code as it is written, such as `PST0001`.
            pub(crate) const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("PST", $number),)+
                }
            }

            pub(crate) const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)+
                }
            }

            /// Returns what all findings of the code have in common, in a few words.
            pub(crate) const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }

            /// Returns the page on the code, in Markdown.
            pub(crate) const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../../docs/findings/PST", $number, ".md")),)+
                }
            }
        }
    };
}

codes! {
    // The document.
    Syntax = "0001" Problem "Not YAML or JSON",
    WrittenTwice = "0002" Problem "Written twice",
    UnknownKey = "0003" Problem "Unknown key",
    MissingKey = "0004" Problem "Missing key",
    WrongType = "0005" Problem "Value of the wrong type",
    ImpossibleValue = "0006" Problem "Impossible value",
    Contradiction = "0007" Problem "Keys that contradict each other",
    UnknownName = "0008" Problem "Name of nothing",
    Ambiguous = "0009" Problem "Ambiguous",
    NoEffect = "0010" Problem "Without effect",
    TooMuch = "0011" Problem "Too much",
    WeakSecret = "0013" Problem "Secret too short",
    ExposedKey = "0014" Problem "Secret among public keys",
    UnusableKey = "0015" Problem "Key that verifies nothing",
    UnknownVariable = "0016" Problem "Unknown environment variable",
    UnfitSchema = "0017" Problem "Unfit JSON Schema",
    UnclearWord = "0018" Problem "Word that YAML 1.1 takes for true or false",
    NothingFound = "0019" Problem "Nothing of Postern",
    Unreadable = "0020" Problem "Unreadable file",
    MisplacedTag = "0021" Problem "`!ignore` where it is not heeded",
    // What lets requests past Postern.
    DisabledFilter = "0031" Problem "Postern is disabled",
    SkippedByMatcher = "0032" Problem "A matcher decides what Postern judges",
    UpgradeWithoutPostern = "0033" Problem "Upgrade through filters without Postern",
    MissingCallback = "0034" Problem "Module not shown what it judges",
    LoadedElsewhere = "0035" Problem "Postern where there is no WebSocket",
    AnotherDefault = "0036" Problem "Another filter stands in for Postern",
    RemovedFilter = "0037" Problem "Patch that takes Postern out",
    StrayMetadata = "0038" Problem "Metadata that Postern does not read",
    UnreadManifest = "0039" Problem "Manifest of a kind that is not read",
    LaterDocument = "0040" Problem "Document that Envoy does not read",
    UntypedResource = "0041" Problem "Discovered resource without a type",
    UnknownCluster = "0042" Problem "Unknown cluster",
    NoSender = "0043" Problem "No sender before the dynamic module",
    FetchedModule = "0044" Problem "Dynamic module that Envoy fetches",
    UnloadedModule = "0045" Problem "Dynamic module that Envoy may unload",
    // What is around Postern, and probably not meant.
    NoWebSocket = "0051" Warning "WebSockets are not enabled",
    UnguardedManager = "0052" Warning "WebSockets without Postern",
    FailOpen = "0053" Warning "Unjudged where the module fails",
    OptionalFilter = "0054" Warning "Postern is optional",
    NarrowedPlugin = "0055" Warning "Plugin for a part of the traffic",
    HeldBodies = "0056" Warning "Filter that holds bodies",
    ClientsAddress = "0057" Warning "Address of the client's choice",
    NoBufferLimit = "0058" Warning "No limit of the request buffer",
    IdleTimeout = "0059" Warning "Unfit idle timeout",
    NoHttp2 = "0060" Warning "gRPC to a cluster without HTTP/2",
    UnjudgedOverride = "0061" Warning "Override without its policies",
    IdleOverride = "0062" Warning "Override of no policy",
    CircuitBreaker = "0063" Warning "Default circuit breaker",
    UnheardAnswer = "0064" Warning "Module not shown the answers of services",
    TakenToken = "0065" Warning "Token that another filter takes or misses",
    KeptFrames = "0066" Warning "Filter that keeps Postern's frames back",
    AdminConnections = "0067" Warning "Admin interface asked on connections that stay",
    ExposedAdmin = "0068" Warning "Way to the admin interface",
    LostClose = "0069" Warning "Filter that may lose a Close",
    // What is in a policy, and probably not meant.
    BinaryUnjudged = "0071" Warning "Rules that binary messages pass by",
    CompressedUnjudged = "0072" Warning "Rules that compressed messages pass by",
    RefusedFirstMessage = "0073" Warning "First messages that are always refused",
    NeverBoth = "0074" Warning "Lines that never hold together",
    NonObjects = "0075" Warning "Schema that lets through what is no object",
    Annotation = "0076" Warning "Annotation in a schema",
    UnreachableTier = "0077" Warning "Tier that is never in force",
    UncountedRate = "0078" Warning "Rate that counts nothing",
    LateClaims = "0079" Warning "Claims that come too late",
    // Weak settings.
    NoTls = "0101" Warning "WebSockets without TLS",
    AnyOrigin = "0102" Warning "Every Origin",
    NullOrigin = "0103" Warning "The Origin `null`",
    MissingOrigin = "0104" Warning "No Origin beside a cookie",
    UnguardedCookie = "0105" Warning "Cookie without a CSRF token",
    NoAuthentication = "0106" Warning "No authentication",
    KeptToken = "0107" Warning "Token that goes on to the service",
    TokenInUrl = "0108" Warning "Token that stays in the URL",
    IgnoredExpiry = "0109" Warning "Sessions that outlive their token",
    AnyAudience = "0110" Warning "Tokens for any audience",
    SharedCookie = "0111" Warning "Cookie that other hosts may set",
    ShortSecret = "0112" Warning "Secret shorter than the hash",
    NoRates = "0113" Warning "Messages without a rate",
    UnboundedConnections = "0114" Warning "Any number of connections",
    LargeMessages = "0115" Warning "Very large messages",
    PassedCompression = "0116" Warning "Compressed messages pass unread",
    UnprovedText = "0117" Warning "Text that is not proved UTF-8",
    PassedTunnels = "0118" Warning "Tunnels",
    OtherUpgrades = "0119" Warning "Other upgrades",
    UnmatchedUpgrades = "0120" Warning "Upgrades without a policy",
    DeadConnections = "0121" Warning "Dead connections stay",
    Shadowed = "0122" Warning "Policy in shadow",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl From<ProblemKind> for Code {
    fn from(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::Ambiguous => Self::Ambiguous,
            ProblemKind::Contradiction => Self::Contradiction,
            ProblemKind::ExposedKey => Self::ExposedKey,
            ProblemKind::ImpossibleValue => Self::ImpossibleValue,
            ProblemKind::MissingKey => Self::MissingKey,
            ProblemKind::NoEffect => Self::NoEffect,
            ProblemKind::Syntax => Self::Syntax,
            ProblemKind::TooMuch => Self::TooMuch,
            ProblemKind::UnfitSchema => Self::UnfitSchema,
            ProblemKind::UnknownKey => Self::UnknownKey,
            ProblemKind::UnknownName => Self::UnknownName,
            ProblemKind::UnknownVariable => Self::UnknownVariable,
            ProblemKind::UnusableKey => Self::UnusableKey,
            ProblemKind::WeakSecret => Self::WeakSecret,
            ProblemKind::WrittenTwice => Self::WrittenTwice,
            ProblemKind::WrongType => Self::WrongType,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_code_has_a_number_of_its_own_and_they_stand_in_order() {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == "PST0001".len()), "{ids:?}");
    }

    #[test]
    fn the_table_and_the_pages_are_those_of_the_codes_and_no_others() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings");
        let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| [PST")).collect();
        let row = |code: &Code| {
            let severity = match code.severity() {
                Severity::Problem => "problem",
                Severity::Warning => "warning",
            };
            format!("| [{code}]({code}.md) | {severity} | {} |", code.title())
        };
        assert_eq!(rows, Code::ALL.iter().map(row).collect::<Vec<_>>());
        let listed = std::fs::read_dir(&folder).unwrap();
        let pages: BTreeSet<String> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let expected = Code::ALL.iter().map(|code| format!("{code}.md")).chain(["README.md".to_owned()]);
        assert_eq!(pages, expected.collect());
        for code in Code::ALL {
            let heading = format!("# {code}: {}\n", code.title());
            assert!(code.page().starts_with(&heading), "{code} begins {heading}");
            // Each weak setting says what it breaks.
            let is_weak = *code >= Code::NoTls;
            assert_eq!(code.page().contains("\nIt breaks: "), is_weak, "{code}");
        }
    }
}
