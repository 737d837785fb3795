/** What a descriptor of a flat disk says. */
export interface VmdkDescriptor {
  readonly sizeBytes: number;
  /** File name of the extent, in the same folder. */
  readonly extent: string;
  /** Identity of the disk, in an entry of our own. */
  readonly uuid: string;
}

const sector = 512;

/** Text of the `.vmdk` file beside a flat extent: what VMware's tools and `qemu-img` read. Pure. */
export function renderVmdkDescriptor({ sizeBytes, extent, uuid }: VmdkDescriptor): string {
  const sectors = sizeBytes / sector;
  const cylinders = Math.min(Math.floor(sectors / (255 * 63)), 65_535);
  return `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=${uuid.replaceAll('-', '').slice(0, 8)}
parentCID=ffffffff
createType="vmfs"

# Extent description
RW ${sectors} VMFS "${extent}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "${cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "14"
ddb.vdvs.uuid = "${uuid}"
`;
}

/** Reads what `renderVmdkDescriptor` wrote; `undefined` for anything else, other tools' descriptors included. */
export function parseVmdkDescriptor(text: string): VmdkDescriptor | undefined {
  const extent = /^RW (\d+) VMFS "([^"/]+)"$/m.exec(text);
  const uuid = /^ddb\.vdvs\.uuid = "([0-9a-f-]{36})"$/m.exec(text);
  if (!extent?.[1] || !extent[2] || !uuid?.[1]) return undefined;
  return { sizeBytes: Number(extent[1]) * sector, extent: extent[2], uuid: uuid[1] };
}
