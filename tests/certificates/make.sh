#!/bin/sh
# Makes the Secrets' contents in this folder: one folder a shape, with tls.crt and tls.key. Needs OpenSSL 3.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shape NAME: makes its folder, and names the files.
shape() { mkdir -p "$1"; crt=$1/tls.crt; key=$1/tls.key; name=$1.test; }
san() { printf 'subjectAltName=DNS:%s\n' "$name"; }
self() { openssl req -x509 -new -key "$1" -subj "/CN=$name" -addext "$(san)" -days 36500 -out "$crt" 2>/dev/null; }
ec() { openssl ecparam -name "$1" -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$2"; }

# A certification authority with an intermediate.
ec prime256v1 "$work/root.key"
openssl req -x509 -new -key "$work/root.key" -subj /CN=root -days 36500 -out "$work/root.crt"
ec prime256v1 "$work/mid.key"
openssl req -new -key "$work/mid.key" -subj /CN=mid -out "$work/mid.csr"
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n' > "$work/mid.ext"
openssl x509 -req -in "$work/mid.csr" -CA "$work/root.crt" -CAkey "$work/root.key" -CAcreateserial -extfile "$work/mid.ext" -days 36500 -out "$work/mid.crt" 2>/dev/null
# signed: a leaf of the intermediate, in $work/leaf.crt.
signed() {
    ec prime256v1 "$key"
    openssl req -new -key "$key" -subj "/CN=$name" -out "$work/leaf.csr"
    san > "$work/leaf.ext"
    openssl x509 -req -in "$work/leaf.csr" -CA "$work/mid.crt" -CAkey "$work/mid.key" -CAcreateserial -extfile "$work/leaf.ext" -days 36500 -out "$work/leaf.crt" 2>/dev/null
}

shape pkcs8-rsa; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$key" 2>/dev/null; self "$key"
shape pkcs1-rsa; openssl genrsa -traditional -out "$key" 2048 2>/dev/null; self "$key"
shape sec1-with-parameters; openssl ecparam -name prime256v1 -genkey -out "$key"; self "$key"
shape pkcs8-p384; ec secp384r1 "$key"; self "$key"
shape ed25519; openssl genpkey -algorithm ED25519 -out "$key"; self "$key"
shape chain; signed; cat "$work/leaf.crt" "$work/mid.crt" > "$crt"
shape chain-with-root; signed; cat "$work/leaf.crt" "$work/mid.crt" "$work/root.crt" > "$crt"
shape chain-root-before-intermediate; signed; cat "$work/leaf.crt" "$work/root.crt" "$work/mid.crt" > "$crt"
shape chain-leaf-twice; signed; cat "$work/leaf.crt" "$work/leaf.crt" "$work/mid.crt" > "$crt"
shape easyrsa-text; signed; { openssl x509 -in "$work/leaf.crt" -text; cat "$work/mid.crt"; } > "$crt"
shape windows-crlf; signed; cat "$work/leaf.crt" "$work/mid.crt" | sed 's/$/\r/' > "$crt"; sed -i 's/$/\r/' "$key"
shape windows-mark; signed; { printf '\357\273\277'; cat "$work/leaf.crt" "$work/mid.crt"; } > "$crt"
shape bag-attributes; signed
openssl pkcs12 -export -in "$work/leaf.crt" -inkey "$key" -certfile "$work/mid.crt" -name "my site" -passout pass:x -out "$work/bag.p12"
openssl pkcs12 -in "$work/bag.p12" -passin pass:x -nokeys -out "$crt"; openssl pkcs12 -in "$work/bag.p12" -passin pass:x -nocerts -nodes -out "$key"
shape key-in-both; signed; cat "$work/leaf.crt" "$work/mid.crt" "$key" > "$crt"
shape no-last-newline; signed; printf %s "$(cat "$work/leaf.crt")" > "$crt"
shape expired; ec prime256v1 "$key"; openssl req -new -key "$key" -subj "/CN=$name" -addext "$(san)" -out "$work/old.csr"
mkdir "$work/ca"; : > "$work/ca/index.txt"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/ca/index.txt\nrand_serial=yes\nnew_certs_dir=%s/ca\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n' "$work" "$work" > "$work/ca.cnf"
openssl ca -batch -config "$work/ca.cnf" -cert "$work/mid.crt" -keyfile "$work/mid.key" -in "$work/old.csr" -startdate 20200101000000Z -enddate 20210101000000Z -notext -out "$crt" 2>/dev/null

shape root-first; signed; cat "$work/root.crt" "$work/mid.crt" "$work/leaf.crt" > "$crt"
shape glued; signed; printf %s%s "$(cat "$work/leaf.crt")" "$(cat "$work/mid.crt")" > "$crt"
shape indented; signed; { cat "$work/leaf.crt"; sed 's/^/  /' "$work/mid.crt"; } > "$crt"
shape garbage-second; signed; { cat "$work/leaf.crt"; printf -- '-----BEGIN CERTIFICATE-----\nMIIBCgKCAQEAxxxx\n-----END CERTIFICATE-----\n'; } > "$crt"
shape trusted-label; signed; openssl x509 -in "$work/leaf.crt" -trustout -out "$crt"
shape request; signed; cp "$work/leaf.csr" "$crt"
shape binary; signed; openssl x509 -in "$work/leaf.crt" -outform DER -out "$crt"
shape version1; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$key" 2>/dev/null
openssl req -new -key "$key" -subj "/CN=$name" -out "$work/v1.csr"; openssl x509 -req -in "$work/v1.csr" -signkey "$key" -days 36500 -out "$crt" 2>/dev/null
shape p521; ec secp521r1 "$key"; self "$key"
shape rsa1024; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$key" 2>/dev/null; self "$key"
shape dsa; openssl dsaparam -genkey 1024 2>/dev/null | openssl dsa -out "$work/dsa.key" 2>/dev/null; openssl dsa -in "$work/dsa.key" -traditional -out "$key" 2>/dev/null || cp "$work/dsa.key" "$key"
self "$key"
shape encrypted-pkcs8; signed; openssl pkcs8 -topk8 -in "$key" -passout pass:x -out "$work/enc.key"; mv "$work/enc.key" "$key"; cp "$work/leaf.crt" "$crt"
shape encrypted-traditional; signed; openssl ec -in "$key" -aes128 -passout pass:x -out "$work/enc.key" 2>/dev/null; mv "$work/enc.key" "$key"; cp "$work/leaf.crt" "$crt"
shape other-key; signed; cp "$work/leaf.crt" "$crt"; ec prime256v1 "$key"
shape no-key; signed; cp "$work/leaf.crt" "$crt"; cp "$work/leaf.crt" "$key"
