import { toVolumeError } from '../../lib/errors.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeRecord } from '../types.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';

/**
 * Makes a disk as large as its record promises: the service that wrote so may have ended before it did it.
 * @returns false when that is not possible now, for lack of space, say. Never throws: nobody loses the use of a volume for it.
 */
export async function growPromised(
  parts: Pick<ServiceParts, 'backends' | 'log'>,
  record: VolumeRecord,
): Promise<boolean> {
  try {
    await backendOf(parts, record).grow(diskOf(record));
    return true;
  } catch (thrown) {
    const error = toVolumeError(thrown).message;
    parts.log.warn('disk not grown yet', { volume: renderVolumeName(record), error });
    return false;
  }
}
