/**
 * Certificates of a small world, made by openssl once for a test process. Tests that use them say
 * `needs('openssl')`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { peerPath } from './peers.ts'

/** Paths of PEM files. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface Certificates {
  /** Certificate of the authority that tests trust; it signed all pairs but `stranger`. */
  readonly authority: string
  /** For localhost, 127.0.0.1 and ::1, like all but `elsewhere` and `client`. */
  readonly server: KeyPair
  /** With an RSA key of 2048 bits; all others have EC keys. */
  readonly rsa: KeyPair
  /** With an encrypted key. */
  readonly encrypted: KeyPair & { readonly passphrase: string }
  /** Expired yesterday. */
  readonly expired: KeyPair
  /** For the server elsewhere.example. */
  readonly elsewhere: KeyPair
  /** For a client with the name `client`. */
  readonly client: KeyPair
  /** Of another authority. */
  readonly stranger: KeyPair & { readonly authority: string }
}

let made: Certificates | undefined

/** The same ones for all tests of a process. */
export function certificates(): Certificates {
  made ??= make()
  return made
}

const EXTENSIONS = `
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
[elsewhere]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:elsewhere.example
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
subjectAltName = DNS:client
`
const EC_KEY = '-newkey ec -pkeyopt ec_paramgen_curve:P-256'
const RSA_KEY = '-newkey rsa:2048'
const PASSPHRASE = 'swordfish'

function make(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-certificates-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'openssl.cnf'), EXTENSIONS)

  function openssl(command: string): void {
    execFileSync(peerPath('openssl'), command.split(' '), {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe']
    })
  }

  function authority(name: string): string {
    const request = `req -config openssl.cnf -x509 -extensions authority -subj /CN=${name} -days 2`
    openssl(`${request} ${EC_KEY} -noenc -keyout ${name}.key -out ${name}.pem`)
    return join(folder, `${name}.pem`)
  }

  function pair(name: string, options: PairOptions = {}): KeyPair {
    const { signer = 'authority', use = 'server', key = `${EC_KEY} -noenc`, days = 2 } = options
    const subject = use === 'server' ? 'localhost' : use
    openssl(`req -config openssl.cnf -subj /CN=${subject} ${key} -keyout ${name}.key -out request`)
    const signed = `-CA ${signer}.pem -CAkey ${signer}.key -CAcreateserial -days ${days}`
    const extended = `-extfile openssl.cnf -extensions ${use}`
    openssl(`x509 -req -in request ${signed} ${extended} -out ${name}.pem`)
    return { certificate: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) }
  }

  const trusted = authority('authority')
  const untrusted = authority('strangers')
  return {
    authority: trusted,
    server: pair('server'),
    rsa: pair('rsa', { key: `${RSA_KEY} -noenc` }),
    encrypted: {
      ...pair('encrypted', { key: `${RSA_KEY} -passout pass:${PASSPHRASE}` }),
      passphrase: PASSPHRASE
    },
    expired: pair('expired', { days: -1 }),
    elsewhere: pair('elsewhere', { use: 'elsewhere' }),
    client: pair('client', { use: 'client' }),
    stranger: { ...pair('stranger', { signer: 'strangers' }), authority: untrusted }
  }
}

interface PairOptions {
  /** Name of the authority. */
  readonly signer?: 'authority' | 'strangers'
  /** Section of the extensions. */
  readonly use?: 'server' | 'elsewhere' | 'client'
  readonly key?: string
  /** How long it is valid; -1 has it end before it begins. */
  readonly days?: number
}
