import { open, rename } from 'node:fs/promises';

/**
 * Writes a file that only this user may read, so that a reader sees the old or the new one, whole. One writer at a time.
 * @param durable whether it is on the disk when this resolves; what belongs to this boot alone need not be.
 */
export async function replaceFile(
  path: string,
  text: string,
  { durable }: { readonly durable: boolean },
): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
