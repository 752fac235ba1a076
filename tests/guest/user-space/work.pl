# SPDX-License-Identifier: GPL-2.0-or-later
# Hashes, packing, floating point and recursive patterns in Perl: perl work.pl FILE.
# Runs in: neither program; run in a guest and on the host by tests/functional/test_user_space.py.
use strict;
use warnings;

my ($number, %texts) = (1);
for (1 .. 20000) {
    $number = ($number * 16807) % 2147483647;
    $texts{$number % 997} .= chr(65 + $number % 26);
}
for (sort { $texts{$a} cmp $texts{$b} or $a <=> $b } keys %texts) {
    print "$_ $texts{$_} ", unpack("%32C*", $texts{$_}), "\n";
}
printf "%.17g %s %s\n", $_**0.37 * atan2($_, 3), $_ / 7e5, unpack("H*", pack("d>", sin $_)) for 1 .. 2000;
my $text = do { local $/; <> };
print join("|", $text =~ m{\b[a-z]+\s*(\((?:[^()]++|(?1))*\))}g), "\n";
print lc $text, uc $text, scalar reverse $text;
