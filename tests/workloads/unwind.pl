# SPDX-License-Identifier: GPL-2.0-or-later
# unwind.pl: sorting with a callback, hashes, regular expressions.
$| = 1;
print "ready\n";
<STDIN>;
for (1 .. 5) {
	my %h;
	$h{"key$_"} = [map { $_ * 2 } 1 .. 5] for 1 .. 5000;
	my $t = join(",", sort { $a cmp $b } keys %h);
	$t =~ s/(\d+)/<$1>/g;
}
print "done\n";
<STDIN>;
