#!/usr/bin/env bash
# Shows the whole path once: manifests → Postgres → memory → the XML that FreeSWITCH gets. The requests are
# recordings of a real FreeSWITCH that ran on deploy/samples (e2e/requests). All files are in a temporary
# directory. At the end the directory is removed and every process has ended.
set -eEuo pipefail
cd "$(dirname "$0")/.."

centrex=${CENTREX:-target/debug/centrex}
dir=$(mktemp -d)
chmod 755 "$dir"        # if root runs this, Postgres runs as another user
pid=
url=

bold='' plain=''
[ ! -t 1 ] || bold=$'\033[1m' plain=$'\033[0m'
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '  %s\n' "$*"; }
fail() {
    [ ! -e "$dir/failed" ] || exit 1        # said already, by a subshell
    touch "$dir/failed"
    printf '\ndemo failed: %s\n' "$*" >&2
    [ ! -s "$dir/log" ] || { echo "last lines of the log:" >&2; tail -n 5 "$dir/log" >&2; }
    exit 1
}
clean_up() {
    local code=$?
    trap - EXIT
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$dir"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# until_ms WHAT SECONDS COMMAND…: repeats the command until it succeeds; prints how long that took.
until_ms() {
    local what=$1 limit=$2 start
    shift 2
    start=$(now_ms)
    until "$@"; do
        [ $(($(now_ms) - start)) -lt $((limit * 1000)) ] || fail "after $limit s still not: $what"
        kill -0 "$pid" 2>/dev/null || fail "centrex ended before: $what"
        sleep 0.005
    done
    echo $(($(now_ms) - start))
}

# ask NAME: sends a recorded request as FreeSWITCH did, and prints the answer.
ask() {
    local file=e2e/requests/$1.http path
    path=$(sed -n '1s/^POST \([^ ]*\) .*/\1/p' "$file")
    sed '1,/^\r$/d' "$file" | curl -fsS -m 5 -u freeswitch:demo-only -A freeswitch-xml/1.0 \
        -H 'Content-Type: application/x-www-form-urlencoded' --data-binary @- "$url$path"
}

# XML, a line for each element.
pretty() {
    sed 's/></>\n</g' | awk '{
        if (/^<\//) depth--
        printf "  %s%s\n", substr("                    ", 1, 2 * depth), $0
        if (!/^<\// && !/\/>$/ && !/<\//) depth++
    }'
}

# A summary of an answer in one line: long names truncated, options of legs omitted.
gist() {
    local xml
    xml=$(cat)
    case $xml in
        *'status="not found"'*) echo 'not found' ;;
        *'section name="dialplan"'*)
            sed 's/<action /\n&/g' <<<"$xml" |
                sed -n 's/.*application="\([a-z_]*\)" data="\([^"]*\)".*/\1 \2/p' |
                grep -E '^(bridge|limit_execute|voicemail|ivr|callcenter|conference|hangup) ' |
                sed -E 's/^limit_execute .* bridge /bridge /; s/\{[^}]*\}//; s/\[[^]]*\]//g; s/@([a-z0-9-]+-)?[0-9a-f-]{36}.*//
                    s/sofia\/gateway\/(gw-....)[0-9a-f]*/\1…/; s/-?([0-9a-f]{8})-[0-9a-f-]{27}//; s/\.$//' |
                awk '{ printf "%s%s", (NR > 1 ? "; else " : ""), $0 } END { print "" }' ;;
        *'section name="directory"'*)
            printf '%s: %s\n' "$(sed 's/.*<domain name="\([^"]*\)".*<user id="\([^"]*\)".*/user \2@\1/' <<<"$xml")" \
                "$(sed 's/name="allow-empty-password" value="false"/name="(no empty password)"/; s/<param /\n&/g' <<<"$xml" |
                    sed -n 's/^<param name="\([^"]*\)".*/\1/p' | paste -sd ' ')" ;;
        *) printf '%s: %s\n' "$(sed 's/.*<configuration name="\([^"]*\)".*/\1/' <<<"$xml")" \
            "$(grep -oE '<(profile|gateway|queue|agent|list|menu|entry) ' <<<"$xml" | sort | uniq -c |
                awk '{ printf "%s%d %s", sep, $1, substr($2, 2); sep = ", " }')" ;;
    esac
}

sql() { PGOPTIONS='-c client_min_messages=error' psql -h "$dir/data/postgres" -U centrex -d centrex -X -q -v ON_ERROR_STOP=1 "$@"; }
messages() { sed -n 's/.*"message":"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$dir/log" | sed "s|$dir/||g; s/\\\\\"/\"/g"; }
listening() { grep -qs 'answering mod_xml_curl' "$dir/log"; }
ready() { curl -fs -m 2 -o "$dir/ready" "$url/readyz"; }

[ -x "$centrex" ] || fail "$centrex is not built: make build"

say '1. Start: two companies with the same extension numbers, from a folder of manifests'
cp -r deploy/samples "$dir/manifests"
# Open at all hours, so that the output does not depend on the time; the samples' tests cover office hours.
rm "$dir/manifests/25-acme-tests.yaml"
sed -i -e 's/days: \[Mon, Tue, Wed, Thu\], from: "09:00", to: "18:00"/days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun], from: "00:00", to: "24:00"/' \
    -e '/days: \[Fri\]/d; /^  holidays:/,/^  open:/{/^  open:/!d}' "$dir/manifests/20-acme-inbound.yaml"
grep -q 'Sun\], from: "00:00"' "$dir/manifests/20-acme-inbound.yaml" || fail "Acme's office hours are no longer where they were"
note '$ centrex standalone --manifests deploy/samples --data-dir …'
CENTREX_XML_PASSWORD=demo-only "$centrex" standalone --manifests "$dir/manifests" --data-dir "$dir/data" \
    --xml-listen 127.0.0.1:0 --xml-username freeswitch 2>"$dir/log" &
pid=$!
listened=$(until_ms 'listening' 20 listening)
url=http://$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$dir/log" | head -n 1)
stored=$(until_ms 'ready' 120 ready)
note "ready after $((listened + stored)) ms: a Postgres of its own made, migrated, filled; all of it held in memory"

say '2. FreeSWITCH asks: its recorded requests, and what Centrex answers'
for file in e2e/requests/*.http; do
    name=$(basename "$file" .http)
    answer=$(ask "$name") || fail "no answer to $file"
    printf '%s' "$answer" >"$dir/$name.xml"
    printf '  %-33s %s\n' "$name" "$(gist <<<"$answer")"
done
note 'The attack is a phone of Acme that wants to be registered as Globex'"'"' 1001.'

say '3. One answer in full: what lets 1001@acme.example.com register'
pretty <"$dir/acme-register-1001.xml"

say '4. The same number at two companies: 1001 dials 1002'
for tenant in acme globex; do
    printf '  %-7s %s\n' "$tenant" "$(gist <"$dir/$tenant-dial-1002.xml")"
done
note 'At Acme that is a phone; at Globex it is forwarded to a mobile phone, so a carrier'"'"'s gateways are tried.'
cmp -s "$dir/acme-dial-1002.xml" "$dir/globex-dial-1002.xml" && fail 'both tenants get one answer'
grep -q 'not found' "$dir/attack-register-across-tenants.xml" || fail 'the attack got an answer'

say '5. What is stored where: a schema and a role without login for each tenant'
sql -c "SELECT t.name AS tenant, t.schema_name AS schema_and_role, r.rolcanlogin AS login, t.revision
        FROM public.tenants t JOIN pg_roles r ON r.rolname = t.role_name ORDER BY 1" | sed '/^(/d;/^$/d;s/^/  /'
schema() { sql -At -c "SELECT schema_name FROM public.tenants WHERE name = '$1'"; }
acme=$(schema acme)
globex=$(schema globex)
for tenant in acme globex; do
    note "$tenant: $(sql -At -c "SELECT string_agg(format('%s %s', count, kind), ', ' ORDER BY kind)
        FROM (SELECT kind, count(*) FROM ${!tenant}.resources GROUP BY kind) AS kinds")"
done
note "a row: $(sql -At -F ' | ' -c "SELECT name, number, body ->> 'displayName', 'sealed ' || left(encode(sealed, 'hex'), 16) || '…' FROM $acme.extensions WHERE name = 'alice'")"
note "as Acme's role, reading Globex' extensions: $(sql -At -c "SET ROLE $acme" -c "SELECT * FROM $globex.extensions" 2>&1 | head -n 1)"
sql -At -c "SET ROLE $acme" -c "SELECT 1 FROM $globex.extensions" >/dev/null 2>&1 && fail 'one role reads the other tenant'
passwords=$(sed -n 's/.*{password: \(.*\)}.*/\1/p' deploy/samples/*.yaml)
[ -n "$passwords" ] || fail 'the samples have no passwords to look for'
if grep -rqaF "$passwords" "$dir/data"; then fail 'a password is in plain text under the data directory'; fi
note "passwords of the samples found in plain text under the data directory: 0 of $(wc -l <<<"$passwords")"

say '6. Change a manifest: Carol joins Acme'"'"'s ring group 2000'
note "before: $(gist <"$dir/acme-dial-2000.xml")"
changed() { ask acme-dial-2000 >"$dir/now.xml" && grep -q 'user/1003@acme' "$dir/now.xml"; }
sed 's/^    - {extensionRef: {name: alice}}$/&\n    - {extensionRef: {name: carol}}/' \
    deploy/samples/20-acme-groups.yaml >"$dir/groups.yaml"
cp "$dir/groups.yaml" "$dir/manifests/20-acme-groups.yaml"
took=$(until_ms 'the new member is rung' 10 changed)
note "after:  $(gist <"$dir/now.xml")"
note "from the write of the file to the new answer: $took ms; no restart, no flush"
note "revisions: $(sql -At -F ' ' -c 'SELECT name, revision FROM public.tenants ORDER BY 1' | paste -sd ,)"
ask globex-dial-2000 | cmp -s - "$dir/globex-dial-2000.xml" || fail "Globex' answer changed with Acme's"

say '7. Break a manifest: what it held stays in force'
sed 's/^  ringSeconds: 25$/  ringSeconds: soon/' "$dir/groups.yaml" >"$dir/manifests/20-acme-groups.yaml"
told() { messages | grep -q 'groups.yaml.*ringSeconds'; }
until_ms 'the error is told' 10 told >/dev/null
note "log:    $(messages | grep 'groups.yaml.*ringSeconds' | tail -n 1)"
ask acme-dial-2000 | cmp -s - "$dir/now.xml" || fail 'a broken manifest changed an answer'
note 'answer: as before'
note '$ centrex check manifests     # the same for CI'
code=0
"$centrex" check "$dir/manifests" >"$dir/check" 2>&1 || code=$?
sed "s|$dir/||g; s/^/  /" "$dir/check"
note "exit code $code"
[ "$code" -eq 1 ] || fail "centrex check ended with $code instead of 1"

say '8. Stop'
postgres=$(head -n 1 "$dir/data/postgres/postmaster.pid")
start=$(now_ms)
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
pid=
[ "$code" -eq 0 ] || fail "centrex ended with $code"
if kill -0 "$postgres" 2>/dev/null; then fail "its Postgres, process $postgres, still runs"; fi
note "SIGTERM: ended after $(($(now_ms) - start)) ms with exit code 0, its Postgres with it; nothing is left of this demo"

say 'What next'
note "make run           the same, left running: edit deploy/samples and watch the log"
note "$centrex check deploy/samples     what CI runs on manifests"
note "$centrex trace --manifests deploy/samples --tenant acme/acme --from 1001 --to 2000 --no-xml     why a call goes where it goes"
note 'README.md          a phone on it, with a FreeSWITCH of yours or on Kubernetes'
echo
