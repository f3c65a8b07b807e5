#!/usr/bin/env bash
# Code in README.md and docs/ that is quoted from a file is what that file has. A quote is a code block after the line
#   <!-- quoted: FILE [REGION] -->
# and a region is what lies between two lines "// [REGION]" of the file. In: the source folder. Out: non-zero and the
# difference where they are not the same, indentation of the whole region aside.
set -euo pipefail
cd "$1"
unindent() { awk '{ line[NR] = $0; match($0, /^ */); if (NF && (!seen++ || RLENGTH < least)) least = RLENGTH }
                  END { for (i = 1; i <= NR; ++i) print substr(line[i], least + 1) }'; }
quotes=0
for page in README.md docs/*.md; do
  while read -r number file region; do
    quoted=$(awk -v from="$number" 'NR > from && /^```/ { if (inside++) exit; next } NR > from && inside' "$page")
    source=$(awk -v mark="// [$region]" '{ text = $0; sub(/^ */, "", text) } text == mark { ++marks; next } marks == 1' \
      "$file" | unindent)
    if [[ -z $source || $quoted != "$source" ]]; then
      echo "$page, line $number, is not what $file has in [$region]:"
      diff <(echo "$quoted") <(echo "$source") || true
      exit 1
    fi
    quotes=$((quotes + 1))
  done < <(sed -nE '/^<!-- quoted: / { =; s/^<!-- quoted: ([^ ]+) \[(.*)\] -->$/\1 \2/p }' "$page" | paste -d' ' - -)
done
echo "$quotes quotes are as in their files"
((quotes > 0))
