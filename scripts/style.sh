#!/usr/bin/env bash
# The project's style rules that swift-format does not know. Prints every breach; exits 1 if there is one.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

breaches=0
breach() {
    breaches=$((breaches + 1))
    printf 'style: %s\n' "$1" >&2
}

# breaches_of RULE PATTERN PATH...: each line that matches, in files that git knows or would add.
breaches_of() {
    local rule=$1 pattern=$2 hit
    shift 2
    while IFS= read -r hit; do
        [ -n "$hit" ] && breach "$rule: $hit"
    done < <(git grep --untracked -nIE -e "$pattern" -- "$@" || true)
}

# One concept, one file.
while IFS= read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 420 ] || breach "$file has $lines lines; a file holds one concept in at most 420"
done < <(git ls-files --cached --others --exclude-standard -- 'Sources/*.swift')

# A file opens by telling its story: a comment, or the imports and then a documented declaration.
while IFS= read -r file; do
    grep -qE '^(//|/\*)' "$file" || breach "$file says nothing about itself"
done < <(git ls-files --cached --others --exclude-standard -- 'Sources/*.swift')

breaches_of 'work left open' '\b(TODO|FIXME|XXX|HACK)\b|not implemented' Sources Tests Fuzz Benchmarks scripts '*.md' ':!scripts/style.sh'
breaches_of 'a wait by the clock; await an event' \
    '(Task|Thread)\.sleep|\b(u|nano)?sleep\(|asyncio\.sleep\(|time\.sleep\(|setTimeout\(' 'Tests/*.swift' 'Tests/EndToEnd/*.py'
breaches_of 'a Task without an owner' '^[[:space:]]*Task[[:space:]]*(\.detached[[:space:]]*)?\{' Sources
breaches_of 'a wall clock outside its adapter' '\bDate\(\)' Sources
breaches_of 'a forced cast' '\bas! ' Sources
breaches_of 'an absolute path of some machine' '(^|[^A-Za-z0-9_.])/(home|Users|root|work|wt)/' Sources Tests Fuzz Benchmarks scripts Makefile '*.md'

if [ "$breaches" -gt 0 ]; then
    fail "style: $breaches breaches"
fi
echo "style: clean"
