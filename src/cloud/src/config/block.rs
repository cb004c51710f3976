//! Checks that the blocks of all clouds have in common.

/// One source of credentials: its name, and of each value it needs the name and whether it is set.
pub(super) type Source<'a> = (&'a str, &'a [(&'a str, bool)]);

/// What is wrong with the block of one cloud.
pub(super) struct Block {
    cloud: &'static str,
    problems: Vec<String>,
}

impl Block {
    pub(super) const fn of(cloud: &'static str) -> Self {
        Self { cloud, problems: Vec::new() }
    }

    pub(super) fn problems(self) -> Vec<String> {
        self.problems
    }

    pub(super) fn needs(&mut self, name: &str, value: Option<&String>) {
        if !is_set(value) {
            self.say(name, "is missing");
        }
    }

    /// One of a few words.
    pub(super) fn needs_one_of(&mut self, name: &str, words: &[&str], value: Option<&String>) {
        self.needs(name, value);
        if let Some(value) = value.filter(|value| !value.is_empty() && !words.contains(&value.as_str())) {
            let known: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            self.say(name, format!("is `{value}`: it may be {}", known.join(" or ")));
        }
    }

    /// Credentials are sent there.
    pub(super) fn is_encrypted(&mut self, name: &str, url: Option<&String>) {
        if url.is_some_and(|url| !url.is_empty() && !url.starts_with("https://")) {
            self.say(name, "has to begin with https:// (credentials are sent there)");
        }
    }

    /// `credentials_source` names one of `sources`; what that one needs is set, and what only the others
    /// use is not: a forgotten key would be a puzzle at the next rotation.
    pub(super) fn credentials(&mut self, chosen: Option<&String>, sources: &[Source<'_>]) {
        const NAME: &str = "credentials_source";
        let words: Vec<&str> = sources.iter().map(|(word, _)| *word).collect();
        self.needs_one_of(NAME, &words, chosen);
        let Some((chosen, needed)) =
            chosen.and_then(|chosen| sources.iter().find(|(word, _)| word == chosen)).copied()
        else {
            return;
        };
        let because = format!("`cloud.{}.{NAME}` is `{chosen}`", self.cloud);
        for (name, _) in needed.iter().filter(|(_, is_set)| !is_set) {
            self.say(name, format!("is missing: {because}"));
        }
        let others = sources.iter().filter(|(word, _)| *word != chosen).flat_map(|(_, values)| *values);
        for (name, _) in others.filter(|(_, is_set)| *is_set) {
            self.say(name, format!("is set, but {because}"));
        }
    }

    fn say(&mut self, name: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("`cloud.{}.{name}` {problem}", self.cloud));
    }
}

/// Templates render what is not set as nothing or as an empty text.
pub(super) fn is_set(value: Option<&impl AsRef<str>>) -> bool {
    value.is_some_and(|value| !value.as_ref().is_empty())
}
