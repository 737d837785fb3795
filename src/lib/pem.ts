/** Whether a private key needs a passphrase: PKCS#8's own form, or the older header. */
export function isEncryptedKey(pem: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----/.test(pem) || /^Proc-Type: *4,ENCRYPTED/m.test(pem);
}

/**
 * Drops the header lines (`kek-version`, `raft-dek`) that Swarm keeps within a manager's key file. They are legal PEM, but
 * OpenSSL, and so Node, refuses a key that has them.
 */
export function stripPemHeaders(pem: string): string {
  return pem
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && (line.startsWith('-----') || !line.includes(':')))
    .concat('')
    .join('\n');
}
