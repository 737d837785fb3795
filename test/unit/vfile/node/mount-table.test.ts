import { describe, expect, it } from 'vitest';
import { mountedVolumes, parseMountinfo } from '../../../../src/vfile/node/mount-table.ts';

const root = '/var/lib/vfile/mounts';
const mountinfo = [
  '24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw',
  '36 35 98:0 / /var/lib/vfile/mounts rw,noatime shared:1 master:2 - ext4 /dev/vda rw,errors=continue',
  `99 36 0:55 / ${root}/Shared_1.a rw,relatime shared:9 - nfs4 10.0.0.1:/vol rw,vers=4.1,hard,proto=tcp,port=20501,clientaddr=10.0.0.2,addr=10.0.0.1`,
  `100 36 0:56 / ${root}/other rw - nfs4 10.0.0.9:/vol rw,vers=4.1,port=20502,addr=10.0.0.9`,
  `101 36 0:57 / ${root}/other rw - nfs4 10.0.0.8:/vol rw,vers=4.1,port=20503,addr=10.0.0.8`,
  `102 36 0:58 / ${root}/no-port rw - nfs4 10.0.0.9:/vol rw,vers=4.1,addr=10.0.0.9`,
  `103 36 0:59 / ${root}/deeper/down rw - nfs4 10.0.0.9:/vol rw,port=20504,addr=10.0.0.9`,
  '104 36 0:60 / /mnt/a\\040b rw - nfs4 10.0.0.9:/x\\011y rw,port=2049,addr=10.0.0.9',
  'nonsense',
  '',
].join('\n');

describe('the mount table', () => {
  it('is read with its escapes, whatever optional fields a line has', () => {
    const entries = parseMountinfo(mountinfo);
    expect(entries).toHaveLength(8);
    expect(entries[1]).toMatchObject({ mountPoint: root, fsType: 'ext4', source: '/dev/vda' });
    expect(entries[7]).toMatchObject({ mountPoint: '/mnt/a b', source: '10.0.0.9:/x\ty' });
  });

  it('shows the volumes: NFS with a port, directly below the root, the topmost of stacked mounts', () => {
    expect(mountedVolumes(parseMountinfo(mountinfo), root)).toEqual([
      { volume: 'Shared_1.a', path: `${root}/Shared_1.a`, port: 20501, mountedFrom: '10.0.0.1' },
      { volume: 'other', path: `${root}/other`, port: 20503, mountedFrom: '10.0.0.8' },
    ]);
  });
});
